"""The command `sql-reward`, interrupted while its libraries load: the first one that it imports sends the signal."""

import importlib.abc
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from sql_reward.entry import main


class Interrupting(importlib.abc.MetaPathFinder):
    """Sends SIGINT when the commands are about to be imported, and finds nothing."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if fullname == "sql_reward.cli":
            os.kill(os.getpid(), signal.SIGINT)


sys.meta_path.insert(0, Interrupting())
main()
