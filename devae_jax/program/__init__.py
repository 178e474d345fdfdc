"""From a config to functions and numbers: read once, checked before anything is compiled."""
