"""What a model folder and a checkpoint are."""
