"""Run `sql-graph`, with Ctrl-C in the middle of its first import."""

import os
import signal
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class Interrupting(MetaPathFinder):
    """Finds nothing, and interrupts the search for click."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Interrupt this process where click is sought."""
        if fullname == "click":
            os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.meta_path.insert(0, Interrupting())
    from sql_graph.entry import main

    main()
