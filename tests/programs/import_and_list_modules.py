"""Import names from a module; print, as JSON, the top-level modules then loaded.

python import_and_list_modules.py MODULE NAME…
"""

import json
import sys
from importlib import import_module

if __name__ == "__main__":
    module = import_module(sys.argv[1])
    for name in sys.argv[2:]:
        getattr(module, name)
    print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
