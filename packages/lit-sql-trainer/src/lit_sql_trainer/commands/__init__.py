"""Holds the commands, one module each: each parses, calls the library and prints; heavy imports are late."""
