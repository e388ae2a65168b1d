"""The agent: the graph, its nodes, what the model is told and how its replies are read."""
