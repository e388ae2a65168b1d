"""What a run leaves behind in its folder, and who looks at it."""
