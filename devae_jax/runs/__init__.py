"""Runs: trained, loaded, scored and drawn, each in a folder of its own."""
