"""Checks a data folder: everything that can be wrong with it, before training."""
