"""Answer a question on the SQLite file that is given; print, as JSON, the SQL and the foreign libraries then loaded."""

import json
import sys

from sql_graph import ScriptedChat, SqlDatabase, answer

FOREIGN = ("agentlightning", "torch", "pandas", "pyarrow", "transformers")

if __name__ == "__main__":
    chat = ScriptedChat(["SELECT name FROM singer"])
    found = answer("Which names?", database=SqlDatabase(sys.argv[1]), chat=chat)
    print(json.dumps([found.sql, [name for name in FOREIGN if name in sys.modules]]))
