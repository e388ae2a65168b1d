"""Start a runner that works for a moment, wait for Ctrl-C and for the runner; print how the runner ended."""

from __future__ import annotations

import multiprocessing
import time
from ctypes import c_int
from multiprocessing.sharedctypes import Synchronized

from lit_sql_trainer.machine.interrupt import Interrupt


def work(done: Synchronized[int]) -> None:
    """Take a while, and say that it is done."""
    time.sleep(1.5)
    done.value = 1


if __name__ == "__main__":
    with Interrupt() as interrupt:
        context = multiprocessing.get_context("fork")
        done = context.Value(c_int, 0)
        child = context.Process(target=work, args=(done,))
        child.start()
        print("ready", flush=True)
        while not interrupt():
            time.sleep(0.02)
        child.join()
    print(child.exitcode, done.value, flush=True)
