"""Write the keys of the installed VERL into the trainer's `profile/verl_keys.json`.

    python scripts/record_verl_keys.py

where VERL is installed, after a change of its version. A test compares the file with the installed VERL.
"""

import json
from pathlib import Path

from lit_sql_trainer.profile import verl_keys


def record(path: Path) -> None:
    """Write the composed keys to `path`, a key a line."""
    keys = verl_keys.composed_keys()
    written = {"versions": dict(keys.versions), "defaults": dict(keys.defaults)}
    path.write_text(json.dumps(written, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    target = Path(verl_keys.__file__).with_name(verl_keys.RECORDED)
    record(target)
    print(target)
