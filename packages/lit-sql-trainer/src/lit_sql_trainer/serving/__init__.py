"""A trained model behind an endpoint."""
