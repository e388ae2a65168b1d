"""Plans, collects and counts rollouts: one engine for every back end."""
