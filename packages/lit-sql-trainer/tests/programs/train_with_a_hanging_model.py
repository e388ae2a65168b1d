"""Train with a model that never answers, under short limits; say when the run gives up, and why.

python train_with_a_hanging_model.py MODEL DATA RUNS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from lit_sql_trainer import PROFILES, TrainerError, configure, train
from lit_sql_trainer.errors import FailureLimitError
from lit_sql_trainer.machine.environment import guard_environment
from lit_sql_trainer.rollouts import DropWindow

model, data, runs = map(Path, sys.argv[1:])
guard_environment(local_model=True)

from lit_sql_trainer.local.generate import Generator  # noqa: E402

lost = DropWindow.lost


def saying(window: DropWindow, reason: str) -> None:
    """Count a lost rollout, and say when that ends the run."""
    try:
        lost(window, reason)
    except FailureLimitError:
        print("giving up", flush=True)
        raise


def hang(generator: Generator) -> None:
    """What a model does that never answers, until the server stops."""
    while not generator.abort:
        time.sleep(0.05)


DropWindow.lost = saying  # pyright: ignore[reportAttributeAccessIssue]  another name for self
Generator._begin_pass = hang  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
profile = configure(
    PROFILES["tiny"],
    ["validation_tasks=8", "request_timeout_s=2", "max_retries=0", "rollout.deadline_s=5", "dropped_window=20"],
    model=str(model),
    data=data,
)
try:
    train(profile, runs=runs, name="hangs")
except TrainerError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
