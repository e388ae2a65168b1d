"""A program that starts workers and has no main guard, so each worker would start workers again."""

from sql_reward.scoring import WorkersFailedError
from sql_reward.scoring.workers import Patience, run_in_workers


def double(number: int) -> int:
    return 2 * number


try:
    print(list(run_in_workers(double, [1, 2], workers=1, patience=lambda _: Patience(cpu_s=9, wall_s=9))))
except WorkersFailedError as error:
    print("told:", error)
