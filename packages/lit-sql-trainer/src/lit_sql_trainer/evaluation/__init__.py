"""Measures how good a model is: on which questions, databases and rules, how certain the figure is, and what went
wrong.

`targets` finds what to evaluate, `plan` holds what decides the numbers, `asking` turns one question into a record,
`run` asks all questions and resumes after a kill, `summary` adds up, `table` prints, `compare` compares two
evaluations.
"""
