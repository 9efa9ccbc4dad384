"""Doors for Python programs."""
