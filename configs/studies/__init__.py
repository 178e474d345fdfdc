"""Comparisons beyond the paper's, as files like those of `configs/paper`: `launch/reproduce.py`."""
