"""Downloads and converts Spider: release 1.0."""
