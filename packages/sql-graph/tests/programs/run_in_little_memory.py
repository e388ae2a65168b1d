"""Run the statements that arrive as a JSON list, in a process of little memory, and print the status of each."""

import json
import resource
import sys
from pathlib import Path

from sql_graph import SqlDatabase

ROOM_BYTES = 256 * 1024 * 1024
"""What the process may take beyond what it has when it begins."""

if __name__ == "__main__":
    statements = json.load(sys.stdin)
    with SqlDatabase(sys.argv[1]) as database:
        database.run("SELECT 1")
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        for sql in statements:
            print(database.run(sql).status)
