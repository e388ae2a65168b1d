"""A data folder from somebody's own databases and questions."""
