"""Studies: many runs, one table, published values beside; and statistics over runs."""
