"""Finds and reads models: model folders, checkpoints, adapters and their digests."""
