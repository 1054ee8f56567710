"""Digits on photographs, scans and drawings, found and read."""
