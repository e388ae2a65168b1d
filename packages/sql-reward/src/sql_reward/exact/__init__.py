"""Spider's exact set match and hardness: its grammar, its query tree, its comparison."""
