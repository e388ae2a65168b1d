"""The parts of reading a reply: thoughts and turns, wrappers, bare SQL, typography.

`sql_graph.parse` puts them together.
"""
