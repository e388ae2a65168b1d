"""Imports your own databases: with their questions, into a data folder."""
