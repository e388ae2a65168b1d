"""Rollouts: planned, carried out by runners, collected, counted. One engine for every back end."""
