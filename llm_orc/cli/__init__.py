"""Doors for people: one file per command."""
