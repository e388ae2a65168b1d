"""Start a runner that goes with this process, and wait; the runner prints its process id."""

from __future__ import annotations

import multiprocessing
import os
import time

from lit_sql_trainer.machine.interrupt import Interrupt, die_with_parent


def work() -> None:
    """Wait, as long as the parent lives."""
    die_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    with Interrupt():
        multiprocessing.get_context("fork").Process(target=work).start()
        time.sleep(60)
