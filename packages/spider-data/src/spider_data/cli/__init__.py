"""The command `spider-data`."""
