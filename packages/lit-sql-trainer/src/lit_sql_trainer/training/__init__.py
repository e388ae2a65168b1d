"""From a profile to a trained model."""
