"""Answers a question and judges it: the agent that Agent-lightning runs."""
