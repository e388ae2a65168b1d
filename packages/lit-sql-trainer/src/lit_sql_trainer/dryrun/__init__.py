"""Rehearses training without training: a few tasks through the whole machinery."""
