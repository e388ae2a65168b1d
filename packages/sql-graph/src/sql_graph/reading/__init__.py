"""Finds the query in a reply: thoughts and turns, wrappers, bare SQL, typography.

`sql_graph.parse` puts them together.
"""
