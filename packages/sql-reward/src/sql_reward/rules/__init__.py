"""Decides when two results match: the official rules, the strict ones, and the text rules around them."""
