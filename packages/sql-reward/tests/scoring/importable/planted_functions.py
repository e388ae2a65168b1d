"""What a worker can be asked to do in tests: answer, die, spin, sleep, fail, take memory. Workers import it."""

import os
import signal
import time


def act(item: object) -> object:
    """Double a number; do what a word says."""
    match item:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(7)
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(600)
        case "raise":
            raise ValueError("no such luck")
        case "memory":
            return len(bytearray(8 << 30))
        case "pid":
            return os.getpid()
        case "none":
            return None
        case int():
            return item * 2
        case _:
            raise AssertionError(f"no such act: {item!r:.40}")
    return None
