"""Where the command `spider-data` begins: what must hold before anything else is imported.

Ctrl-C gives exit code 130 from here on, imports included. What the output cannot encode is replaced, and an output that
takes no more bytes is one line.
"""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper
from types import FrameType

INTERRUPTED = 130
FAILED = 2


def start() -> None:
    """Run the command of this process and exit."""
    seen: list[int] = []

    def interrupt(number: int, _: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="replace")
        from spider_data.cli.main import main  # after the handler: this imports click

        main()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except SystemExit:
        if not seen:
            raise
        raise SystemExit(INTERRUPTED) from None
    except OSError as error:
        about = f": {error.filename!r}" if error.filename else ", on writing the output"
        print(f"Error: {error.strerror or error}{about}", file=sys.stderr)
        raise SystemExit(FAILED) from None
    except Exception:
        # A library may turn Ctrl-C into an error of its own, such as an import that failed.
        if not seen:
            raise
        raise SystemExit(INTERRUPTED) from None
