"""The tables and figures of Wu et al., arXiv:2303.12959, one file each: `launch/reproduce.py`."""
