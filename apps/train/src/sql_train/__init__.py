"""The GPU stack for lit-sql-trainer: this package pins its versions, and `proof` runs VERL's loop without a GPU."""
