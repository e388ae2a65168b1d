"""How much SQLite has in temporary files. They have no name in any folder, so only the system can tell.

Both figures are 0 where the system does not tell (there is no /proc); then only the deadline bounds what a sort may
write.
"""

import os
from typing import Final

_NAME: Final = "etilqs_"
"""How SQLite's temporary files are called until it removes their names, which is at once."""


def bytes_written() -> int:
    """Bytes this thread has written in its life, pages that were written again included. Cheap."""
    try:
        with open("/proc/thread-self/io", "rb") as file:  # noqa: PTH123  read many times a second
            return int(file.read().split(b"\n", 2)[1].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def temporary_bytes() -> int:
    """Size of the temporary files that SQLite has open in this process. Looks at every open file."""
    total = 0
    try:
        numbers = os.listdir("/proc/self/fd")  # noqa: PTH208  only the numbers are needed
    except OSError:
        return 0
    for number in numbers:
        try:
            if _NAME in os.readlink(f"/proc/self/fd/{number}"):  # noqa: PTH115  as above
                total += os.fstat(int(number)).st_size
        except OSError:
            continue  # closed by another thread meanwhile
    return total
