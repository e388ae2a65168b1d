"""One real rollout: model, agent, database, judge, tracer and adapter, as training puts them together.

The dry run of `train PROFILE --dev` on a few tasks, with its checklist as findings. Where the model needs a GPU that is
not here, says so; an endpoint in OPENAI_API_BASE stands in for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from lit_sql_trainer.dryrun.run import dry_run
from lit_sql_trainer.errors import TrainerError
from lit_sql_trainer.machine.endpoints import endpoint_of_environment
from lit_sql_trainer.preflight.findings import Family, Finding, failed, passed, warned
from lit_sql_trainer.preflight.subject import Progress, Subject
from lit_sql_trainer.profile.profile import Backend

TASKS = 8
"""Enough that even a weak model is right once."""
REWARDED = "rewards non-zero"


def check_rollout(subject: Subject, progress: Progress) -> Iterator[Finding]:
    """Run a few tasks from question to reward, and check that they leave tokens to train on."""
    if subject.profile.backend is Backend.VERL and endpoint_of_environment() is None:
        yield warned(
            Family.ROLLOUT,
            "rollout",
            "not tried: this profile generates with vLLM inside VERL, which starts with training",
            "Try the agent alone against a server of the model: OPENAI_API_BASE=… with this command, or "
            f"`train {subject.profile.name} --dev`",
        )
        return
    progress("a few rollouts; loading the library takes a quarter of a minute")
    try:
        report = dry_run(subject.profile, tasks=TASKS, port=subject.port, echo=lambda line: None)
    except TrainerError as error:
        yield failed(Family.ROLLOUT, "rollout", str(error), "Mend this first: training would end here too")
        return
    for check in report.checklist:
        if check.passed:
            yield passed(Family.ROLLOUT, check.what, check.found)
        elif check.needed and check.what != REWARDED:
            yield failed(Family.ROLLOUT, check.what, check.found, check.remedy)
        else:
            yield warned(Family.ROLLOUT, check.what, check.found, check.remedy)
