"""Measures how good a model is: which questions, databases and rules, how sure, and what went wrong.

`targets` says what is evaluated, `plan` what decides the numbers, `asking` how one question becomes a record, `run`
does all of them and can go on after a kill, `summary` adds up, `table` prints, `compare` sets two side by side.
"""
