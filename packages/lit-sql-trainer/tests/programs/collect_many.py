"""Collect two thousand rollouts of an endpoint; print, as JSON, the memory and the seconds after each hundred.

python collect_many.py DATA URL
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

from lit_sql_trainer.machine.environment import check_start_method, guard_environment, quiet_loggers

guard_environment(local_model=True)

import agentlightning as agl  # noqa: E402  # pyright: ignore[reportMissingTypeStubs]

from lit_sql_trainer import PROFILES, LitSQLAgent  # noqa: E402
from lit_sql_trainer.rollouts import DropWindow, PlannedRollout  # noqa: E402
from lit_sql_trainer.rollouts.collect import Collector  # noqa: E402
from lit_sql_trainer.rollouts.trainer import make_trainer  # noqa: E402
from spider_data import read_tasks  # noqa: E402

ROUNDS, SIZE = 20, 100
data, url = Path(sys.argv[1]), sys.argv[2]
profile = PROFILES["tiny"]
assert profile.grpo is not None
grpo = profile.grpo
rows = [dict(task.to_row()) for task in read_tasks(data / "train.parquet")]


class NoLedger:
    """Knows no reply: nothing is trained here."""

    def take(self, response_id: str) -> None:
        """Nothing."""


def megabytes() -> float:
    """What this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


class Many(agl.Algorithm):
    """Collects the rounds one after the other."""

    async def run(self, train_dataset: Any = None, val_dataset: Any = None) -> None:
        """Collect them all and print what they took."""
        llm = agl.LLM(endpoint=url, model="scripted")
        update = await self.get_store().add_resources({"main_llm": llm})
        collector = Collector(
            store=self.get_store(),
            adapter=self.get_adapter(),
            ledger=NoLedger(),
            settings=grpo,
            drops=DropWindow(limit=0.02, size=256),
            resources_id=update.resources_id,
        )
        memory: list[float] = []
        seconds: list[float] = []
        kept = 0
        for number in range(ROUNDS):
            plan = [PlannedRollout(group=i, task=i, sample=0, row=rows[i % len(rows)], seed=i) for i in range(SIZE)]
            done = await collector.collect(plan, train=False, step=number)
            kept += len(done.episodes)
            memory.append(megabytes())
            seconds.append(done.seconds)
        print(json.dumps({"memory_mb": memory, "seconds": seconds, "kept": kept}), flush=True)


check_start_method()
quiet_loggers()
make_trainer(profile, algorithm=Many()).fit(LitSQLAgent(data=data, settings=profile.rollout))
