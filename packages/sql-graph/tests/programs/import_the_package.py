"""Import `sql_graph`, then use one name of it; print, as JSON, the heavy libraries that are loaded after each."""

import json
import sys

import sql_graph

HEAVY = ("langgraph", "langchain_core", "sqlalchemy", "openai", "click", "rich")


def loaded() -> list[str]:
    """The heavy libraries that are loaded now."""
    return [name for name in HEAVY if name in sys.modules]


if __name__ == "__main__":
    at_import = loaded()
    sql_graph.extract_sql("SELECT 1")
    print(json.dumps([at_import, loaded()]))
