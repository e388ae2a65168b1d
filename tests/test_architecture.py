"""The picture and the tables of docs/architecture.md say what the code says."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_drawing_is_current() -> None:
    """`python scripts/draw_architecture.py` would change nothing."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "draw_architecture.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
