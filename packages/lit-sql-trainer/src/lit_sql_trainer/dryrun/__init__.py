"""The dry run: a few tasks through the whole machinery, no training."""
