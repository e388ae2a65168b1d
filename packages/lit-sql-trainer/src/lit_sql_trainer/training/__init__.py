"""Trains a profile: checks, then a back end, then one ending."""
