"""Run `sql-graph` with the arguments that are given; print, as JSON, the foreign libraries then loaded."""

import json
import sys

from sql_graph.cli import main

FOREIGN = ("openai", "langchain_openai", "langgraph", "langsmith", "tiktoken", "pandas", "numpy")

if __name__ == "__main__":
    main(sys.argv[1:], standalone_mode=False)
    print(json.dumps([name for name in FOREIGN if name in sys.modules]))
