"""The commands, one module each: they parse, call the library and print. All heavy imports are late."""
