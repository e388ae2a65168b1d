"""Make a database at the path that is given, sort it with SQLite's temporary files, and print what that brings."""

import sqlite3
import sys

from sql_graph import SqlDatabase, SqlGraphError

if __name__ == "__main__":
    connection = sqlite3.connect(sys.argv[1])
    connection.execute("CREATE TABLE t (a text, b integer)")
    rows = ((f"name {i * 7919 % 100003} {'x' * 60}", i) for i in range(40_000))
    connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
    connection.commit()
    connection.close()
    with SqlDatabase(sys.argv[1]) as database:
        try:
            print(database.run("SELECT a, b FROM t ORDER BY a, b").text)
        except SqlGraphError as error:
            print(type(error).__name__, error)
