"""Train two runs that end by themselves and resume the second; print a line `RESULT` with JSON after each.

python train_until_stopped.py RUNS MODEL DATA
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lit_sql_trainer import PROFILES, TrainResult, configure, train

COMMON = [
    "steps=6",
    "tasks_per_step=2",
    "rollouts_per_task=4",
    "validation_tasks=4",
    "max_tokens=48",
    "torch_threads=1",
    "validate_every=1",
    "learning_rate=1e-6",
    "seed=1",
]
KINDS = {
    "alarmed": ["monitors.window=1", "monitors.length_factor=1.000001", "monitors.stop_on_alarm=true"],
    "stale": ["monitors.patience=2"],
}


def say(result: TrainResult) -> None:
    """Print what `train` returned."""
    print("RESULT", json.dumps({"steps": result.steps, "alarm": result.alarm, "interrupted": result.interrupted}))


if __name__ == "__main__":
    runs, model, data = map(Path, sys.argv[1:])
    for name, settings in KINDS.items():
        profile = configure(PROFILES["tiny"], [*COMMON, *settings], model=str(model), data=data)
        say(train(profile, runs=runs, name=name))
    say(train(PROFILES["tiny"], runs=runs, resume="stale"))
