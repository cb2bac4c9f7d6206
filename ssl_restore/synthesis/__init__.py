"""Data sets of degraded pictures and clips."""
