"""Spider 1.0: download it, unpack it, convert it."""
