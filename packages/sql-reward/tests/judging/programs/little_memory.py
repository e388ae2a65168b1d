"""Threads that together need more memory than SQLite may take, one of them more than all of it.

Called with a database and prints, as JSON, the outcomes that the right queries got, and what the greedy one is.
"""

import json
import sys
import threading

from sql_reward import GoldCache, GoldSqlError, Limits, SqlFailure, judge, run_sql
from sql_reward.sandbox import connections

connections.MAX_HEAP_BYTES = 24_000_000
connections.CACHE_HEAP_BYTES = 4_000_000
LIMITS = Limits(max_cell_bytes=100_000_000, deadline_s=60)
RIGHT = "SELECT length(group_concat(s)), length(group_concat(s || i)) FROM t"
GREEDY = f"SELECT {', '.join(f'length(group_concat(s || {number}))' for number in range(40))} FROM t"


def main() -> None:
    """Run the threads and print what they got."""
    cache = GoldCache()
    outcomes: list[str] = []
    golds: list[str] = []

    def right(number: int) -> None:
        for turn in range(6):
            gold = f"{RIGHT} WHERE {number * 10 + turn} >= 0"
            try:
                outcomes.append(judge(gold, gold, sys.argv[1], limits=LIMITS, cache=cache).outcome.value)
            except Exception as error:
                outcomes.append(type(error).__name__)
                raise

    def greedy() -> None:
        for _ in range(2):
            try:
                judge("SELECT 1", GREEDY, sys.argv[1], limits=LIMITS, cache=cache)
            except GoldSqlError as error:
                golds.append(error.reason)

    threads = [threading.Thread(target=right, args=(number,)) for number in range(3)]
    threads.append(threading.Thread(target=greedy))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = run_sql(sys.argv[1], GREEDY, limits=LIMITS)
    kept = sum(isinstance(value, SqlFailure) for value, _ in cache._entries.values())
    print(
        json.dumps(
            {
                "outcomes": sorted(set(outcomes)),
                "judged": len(outcomes),
                "golds": len(golds),
                "alone": alone.outcome.value if isinstance(alone, SqlFailure) else "rows",
                "out_of_memory": isinstance(alone, SqlFailure) and alone.out_of_memory,
                "failures_kept": kept,
            }
        )
    )


main()
