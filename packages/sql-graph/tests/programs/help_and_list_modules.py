"""Ask `sql-graph ask` for its help; print, as JSON on the last line, the libraries then loaded."""

import contextlib
import json
import sys

from sql_graph.cli import main

FOREIGN = ("langgraph", "langchain_core", "langchain_openai", "openai", "sqlalchemy", "rich", "pydantic")

if __name__ == "__main__":
    with contextlib.suppress(SystemExit):
        main(["ask", "--help"])
    print(json.dumps([name for name in FOREIGN if name in sys.modules]))
