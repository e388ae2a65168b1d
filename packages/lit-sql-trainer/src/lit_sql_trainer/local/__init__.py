"""Trains with GRPO on a laptop: a server around the model being trained, and the algorithm that trains it.

Importing this package costs nothing; its modules need the `cpu` dependency group (torch and transformers).
"""
