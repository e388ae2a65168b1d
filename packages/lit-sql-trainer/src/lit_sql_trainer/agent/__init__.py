"""The agent that Agent-lightning runs, and how a question is answered and judged."""
