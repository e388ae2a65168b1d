"""Run `lit-sql profiles`; the import of one module says so and takes its time.

python import_slowly.py MODULE SECONDS
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType

module, seconds = sys.argv[1], float(sys.argv[2])


class Slow(MetaPathFinder):
    """Finds nothing, and takes long to find the module."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Wait where the module is sought."""
        if fullname == module:
            print("importing", flush=True)
            time.sleep(seconds)


if __name__ == "__main__":
    sys.meta_path.insert(0, Slow())
    from lit_sql_trainer.commands import entry

    sys.argv = ["lit-sql", "profiles"]
    entry.lit_sql()
