"""Run a command of ours; print, as JSON on the last line, which of the named libraries it loaded. Ends as it does.

python list_modules.py LIBRARY,LIBRARY… MODULE:FUNCTION ARGUMENT…
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    libraries, place, *arguments = sys.argv[1:]
    module, _, function = place.partition(":")
    try:
        getattr(import_module(module), function)(arguments)
    finally:
        print(json.dumps([name for name in libraries.split(",") if name in sys.modules]))
