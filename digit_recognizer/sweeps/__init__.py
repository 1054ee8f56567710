"""Sweeps: studies of many runs, and statistics of their results."""
