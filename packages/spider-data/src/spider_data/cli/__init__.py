"""Holds the command `spider-data`."""
