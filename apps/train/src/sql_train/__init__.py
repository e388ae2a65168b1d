"""The GPU stack for lit-sql-trainer: this package pins versions and holds no code of its own."""
