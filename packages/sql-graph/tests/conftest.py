"""What all tests of the package share."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Sequence

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a background job starts; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_in_terminal(command: Sequence[object], *, columns: int = 80, quiet: bool = False) -> tuple[str, int]:
    """What a command shows on a terminal of so many columns, without colours and moves, and its exit code.

    With `quiet`, without what it says on standard error.
    """
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.DEVNULL if quiet else follower,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says so when the last writer is gone
        while chunk := os.read(leader, 65536):
            shown += chunk
    os.close(leader)
    return CONTROLS.sub("", shown.decode(errors="replace")).replace("\r\n", "\n"), process.wait()


@pytest.fixture
def in_terminal() -> Callable[..., tuple[str, int]]:
    """Run a command as on a terminal."""
    return run_in_terminal
