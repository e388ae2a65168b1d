"""Begin a writing transaction on the SQLite file that is given; print `begun`, or SQLite's message."""

import sqlite3
import sys

if __name__ == "__main__":
    writer = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
    try:
        writer.execute("BEGIN IMMEDIATE")
        print("begun")
    except sqlite3.OperationalError as error:
        print(error)
    finally:
        writer.close()
