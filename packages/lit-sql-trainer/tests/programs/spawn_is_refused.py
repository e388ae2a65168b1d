"""Choose the start method `spawn`; print how training refuses it."""

from __future__ import annotations

import multiprocessing

from lit_sql_trainer.errors import SetupError
from lit_sql_trainer.machine.environment import check_start_method

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    try:
        check_start_method()
    except SetupError as error:
        print(error)
