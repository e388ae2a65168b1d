"""Import the modules that are named; print, as JSON, which of the libraries they brought.

python import_modules.py LIBRARY,LIBRARY… MODULE…
"""

from __future__ import annotations

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    for module in sys.argv[2:]:
        import_module(module)
    print(json.dumps([name for name in sys.argv[1].split(",") if name in sys.modules]))
