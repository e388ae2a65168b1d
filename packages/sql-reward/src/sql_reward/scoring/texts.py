"""Read a text file as people save them: UTF-8 with or without a mark, UTF-16, any line breaks."""

import codecs
from pathlib import Path
from typing import Final

from sql_reward.errors import InputError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16, so it goes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LOOKED_AT: Final = 64
"""Bytes from which an encoding without a mark is told."""


def read_bytes(path: Path) -> bytes:
    """What the file holds, in UTF-8 without a byte order mark if it was UTF-16 or UTF-32; otherwise as it is.

    Raises:
        InputError: the file cannot be opened, or its bytes are not what its mark promises.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, str(error.strerror), "check the path") from error
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", _unmarked(data)))
    data = data.removeprefix(mark)
    if encoding == "utf-8":
        return data
    try:
        return data.decode(encoding).encode(errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise InputError(path, f"it is no whole {encoding} text ({error.reason})", "save it as UTF-8") from error


def _unmarked(data: bytes) -> str:
    """SQL and JSON begin with a letter or a bracket; in UTF-16 every second byte of them is zero."""
    start = data[:LOOKED_AT]
    if start[1::2] and not any(start[1::2]):
        return "utf-16-le"
    return "utf-16-be" if start[::2] and not any(start[::2]) else "utf-8"


def read_lines(path: Path) -> list[str]:
    """The lines of a text, without their breaks (CR LF, LF, or CR alone). What follows the last break is no line.

    Raises:
        InputError: the file cannot be opened, or is no text.
    """
    data = read_bytes(path)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InputError(path, f"it is not UTF-8 ({error.reason})", "save it as UTF-8", line=line) from error
    text = text.replace("\r\n", "\n")
    lines = text.split("\n" if "\n" in text else "\r")
    if lines[-1] == "":
        lines.pop()
    return lines
