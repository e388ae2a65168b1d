"""Look a data folder over before anything is trained on it."""
