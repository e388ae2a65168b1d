"""Holds the agent: the graph, its nodes, the prompts, and how replies are read."""
