"""Two thousand rollouts leave the main process as small as it was: traces are read once and forgotten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lit_sql_trainer.testing import ScriptedEndpoint

SCRIPT = """
import json, resource, sys, time
from lit_sql_trainer.machine.environment import check_start_method, guard_environment, quiet_loggers
guard_environment(local_model=True)
from pathlib import Path
import agentlightning as agl
from lit_sql_trainer import PROFILES
from lit_sql_trainer.agent.agent import LitSQLAgent
from lit_sql_trainer.rollouts.trainer import make_trainer
from lit_sql_trainer.rollouts.collect import Collector, PlannedRollout
from lit_sql_trainer.rollouts.drops import DropWindow
from spider_data import read_tasks

data, url, rounds, size = Path(sys.argv[1]), sys.argv[2], 20, 100
profile = PROFILES["tiny"]
rows = [dict(task.to_row()) for task in read_tasks(data / "train.parquet")]

class NoLedger:
    def take(self, response_id):
        return None

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

class Many(agl.Algorithm):
    async def run(self, train_dataset=None, val_dataset=None):
        llm = agl.LLM(endpoint=url, model="scripted")
        update = await self.get_store().add_resources({"main_llm": llm})
        collector = Collector(
            store=self.get_store(), adapter=self.get_adapter(), ledger=NoLedger(), settings=profile.grpo,
            drops=DropWindow(limit=0.02, size=256), resources_id=update.resources_id,
        )
        memory, times, kept = [], [], 0
        for number in range(rounds):
            plan = [PlannedRollout(group=i, task=i, sample=0, row=rows[i % len(rows)], seed=i) for i in range(size)]
            done = await collector.collect(plan, train=False, step=number)
            kept += len(done.episodes)
            memory.append(megabytes())
            times.append(done.seconds)
        print(json.dumps({"memory_mb": memory, "seconds": times, "kept": kept}), flush=True)

check_start_method()
quiet_loggers()
make_trainer(profile, algorithm=Many()).fit(LitSQLAgent(data=data, settings=profile.rollout))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory from /proc")
def test_two_thousand_rollouts_grow_the_main_process_by_less_than_200_megabytes(toy_data: Path) -> None:
    """After the first hundred; each rollout takes two turns, as a wrong first query does."""
    replies = ("```sql\nSELECT nothing FROM nowhere\n```", "```sql\nSELECT name FROM item\n```")
    with ScriptedEndpoint(lambda body: replies["nowhere" in str(body["messages"])]) as endpoint:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(toy_data), endpoint.url], capture_output=True, text=True, timeout=550
        )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    memory = report["memory_mb"]
    print(f"memory {memory[0]:.0f} → {memory[-1]:.0f} MB; a round of 100: {sorted(report['seconds'])[10]:.1f} s median")
    assert report["kept"] == 2000
    assert len(endpoint.requests) >= 4000
    assert memory[-1] - memory[0] < 200
