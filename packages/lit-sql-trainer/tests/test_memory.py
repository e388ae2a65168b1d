"""Two thousand rollouts leave the main process as small as it was: traces are read once and forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lit_sql_trainer.testing import ScriptedEndpoint

PROGRAM = Path(__file__).parent / "programs" / "collect_many.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_two_thousand_rollouts_grow_the_main_process_by_less_than_200_megabytes(toy_data: Path) -> None:
    """After the first hundred; each rollout takes two turns, as a wrong first query does."""
    replies = ("```sql\nSELECT nothing FROM nowhere\n```", "```sql\nSELECT name FROM item\n```")
    with ScriptedEndpoint(lambda body: replies["nowhere" in str(body["messages"])]) as endpoint:
        done = subprocess.run(
            [sys.executable, PROGRAM, toy_data, endpoint.url], capture_output=True, text=True, timeout=550
        )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    memory = report["memory_mb"]
    print(f"memory {memory[0]:.0f} → {memory[-1]:.0f} MB; a round of 100: {sorted(report['seconds'])[10]:.1f} s median")
    assert report["kept"] == 2000
    assert len(endpoint.requests) >= 4000
    assert memory[-1] - memory[0] < 200
