"""The library's VERL algorithm with our trainer and daemon, a Ray of its own, and errors that keep their type."""

# verl and ray ship no types, and the environment in which types are checked has none of them:
# pyright: reportMissingImports=false, reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUntypedBaseClass=false

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress

from agentlightning.algorithm.verl import VERL
from agentlightning.types import Dataset
from ray.exceptions import RayError, RayTaskError

from lit_sql_trainer.errors import RunError, SetupError, TrainerError
from lit_sql_trainer.rollouts.plan import Row
from lit_sql_trainer.verl.daemon import SqlDaemon
from lit_sql_trainer.verl.foreign import Foreign, VerlConfig, last_line
from lit_sql_trainer.verl.trainer import SqlTrainer

RAY_STARTS = 3


class SqlVerl(VERL):
    """Trains in Ray what VERL's dictionary says.

    Args:
        config: VERL's dictionary.
        ray_options: arguments of `ray.init`; where RAY_ADDRESS names a cluster only the environment of its workers.
        trainer_cls, daemon_cls: ours, or subclasses of them.
        beside: entered around training in this process, after the runners were forked: the place for threads.
    """

    def __init__(
        self,
        config: VerlConfig,
        *,
        ray_options: Mapping[str, object],
        trainer_cls: type[SqlTrainer] = SqlTrainer,
        daemon_cls: type[SqlDaemon] = SqlDaemon,
        beside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        daemon: Foreign = daemon_cls  # none of the library's daemons: it only hands the class over to our trainer
        super().__init__(config, trainer_cls=trainer_cls, daemon_cls=daemon)
        self._beside = beside
        self._ray_options = dict(ray_options)

    def run(self, train_dataset: Dataset[Row] | None = None, val_dataset: Dataset[Row] | None = None) -> None:
        """Start Ray, train, stop Ray.

        Raises:
            TrainerError: as the trainer raised it, or `RunError` when a process of VERL died.
        """
        import ray

        _start_ray(self._ray_options)
        try:
            with self._beside():
                super().run(train_dataset, val_dataset)
        except RayTaskError as error:
            raise _own_error(error) from error
        except RayError as error:
            raise RunError(f"a process of VERL died: {_first_line(error)}; see the logs under /tmp/ray") from error
        finally:
            ray.shutdown()


def _start_ray(options: Mapping[str, object]) -> None:
    """Start Ray, or join the cluster that RAY_ADDRESS names.

    Ray gives itself half a minute, which is not always enough where other work holds the cores.

    Raises:
        SetupError: it did not come up, three times.
    """
    import psutil
    import ray

    if os.environ.get("RAY_ADDRESS"):
        options = {"runtime_env": options.get("runtime_env")}
    here = psutil.Process()
    before = set(here.children(recursive=True))
    for attempt in range(1, RAY_STARTS + 1):
        try:
            ray.init(**options)
            return
        except Exception as error:  # Ray raises no narrower type when one of its processes does not come up
            ray.shutdown()
            for left in set(here.children(recursive=True)) - before:  # what came up of it would stay until we end
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            if attempt == RAY_STARTS:
                raise SetupError(
                    f"Ray did not start in {attempt} attempts: {_first_line(error)}; is the machine overloaded, or "
                    f"RAY_ADDRESS wrong?"
                ) from error


def _own_error(error: BaseException) -> TrainerError:
    """The error of ours that ended the task, or one that says where it ended.

    Ray hides the error that a task raised in `cause`, and repeats that for a task within a task.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TrainerError) and not isinstance(cause, RayTaskError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return RunError(f"training failed inside VERL: {last_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
