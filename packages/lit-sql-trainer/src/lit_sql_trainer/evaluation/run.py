"""Evaluates a model: asks every question, judges every answer, adds up, and resumes a killed evaluation.

The module imports nothing that a model served elsewhere does not need; opening a local model imports torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lit_sql_trainer.agent.answering import Answering
from lit_sql_trainer.data import embedded_data
from lit_sql_trainer.errors import FailureLimitError, RunError
from lit_sql_trainer.evaluation.asking import Asked, Asker
from lit_sql_trainer.evaluation.plan import Sampling, check_same, make_plan
from lit_sql_trainer.evaluation.questions import Questions, read_questions
from lit_sql_trainer.evaluation.records import AnswerRecord, EvaluationFolder, Plan, Summary
from lit_sql_trainer.evaluation.summary import summarise
from lit_sql_trainer.evaluation.targets import Target
from lit_sql_trainer.evaluation.threads import Crew
from lit_sql_trainer.machine.environment import guard_environment
from lit_sql_trainer.runs.folder import environment, git_commit, write_json

WORKERS = 16
"""Questions asked at the same time: a full batch of the local server."""
FAILURES_IN_A_ROW = 20
"""After this many failures the endpoint counts as down and the evaluation ends."""

Key = tuple[str, int]
"""Task id and sample."""
Progress = Callable[[int, int, AnswerRecord | None], None]
"""Receives how many records there are, how many there will be, and the latest one; the first call has no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation as far as it went."""

    folder: EvaluationFolder
    plan: Plan
    records: tuple[AnswerRecord, ...]
    """In the order of the questions; those that failed included."""
    summary: Summary | None
    """None when the evaluation was stopped before its end."""


def evaluate(
    target: Target,
    *,
    out: Path,
    questions: Questions | None = None,
    data: Path | None = None,
    split: str = "test",
    limit: int | None = None,
    sampling: Sampling | None = None,
    workers: int = WORKERS,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Progress = lambda done, total, record: None,
) -> Evaluation:
    """Ask `questions`, else those of `split`, and write the results to the folder `out`; `records` describes it.

    When `out` holds the beginning of the same evaluation, its answers stay and only the rest is asked, including the
    questions that our side failed to ask. The data are by default those of the target's run or profile, else the
    embedded benchmark; without a `limit`, a run's own bound on validation and training tasks applies to those splits.

    Raises:
        DataError: the questions or their databases cannot be read.
        RunError: `out` holds something else, or an evaluation with another plan.
        ModelError, SetupError: the model cannot be served.
        FailureLimitError: our side failed on many questions in a row; the answers so far are kept.
    """
    sampling = sampling or Sampling()
    questions = questions or questions_for(target, data=data, split=split, limit=limit)
    plan = make_plan(target, questions, sampling)
    folder = EvaluationFolder(path=out)
    _make(folder, plan)
    with folder.locked():
        done = _taken_up(folder)
        _ask(target, questions, sampling, done, folder, workers, should_stop, progress)
        records = tuple(done[key] for key in _keys(questions, sampling) if key in done)
        if len(records) < plan["questions"] * sampling.samples:
            return Evaluation(folder=folder, plan=plan, records=records, summary=None)
        folder.keep(records)
        summary = summarise(plan, records)
        folder.sum_up(summary)
    return Evaluation(folder=folder, plan=plan, records=records, summary=summary)


def questions_for(target: Target, *, data: Path | None, split: str, limit: int | None) -> Questions:
    """The questions for a target: by default of its own data, within its own bounds."""
    profile = target.profile
    if limit is None and data is None and target.run is not None:
        limit = {"validation": profile.validation_tasks, "train": profile.train_tasks}.get(split)
    return read_questions(data_folder(target, data), split, limit=limit)


def data_folder(target: Target, data: Path | None) -> Path:
    """The data folder to ask about: `data`, else the target's own, else the embedded benchmark."""
    return data or target.profile.data or embedded_data()


def load_evaluation(path: Path) -> Evaluation:
    """Read a finished evaluation.

    Raises:
        RunError: there is none, or it has not ended.
    """
    folder = EvaluationFolder(path=path)
    plan = folder.plan()
    return Evaluation(folder=folder, plan=plan, records=tuple(folder.records()), summary=folder.summary())


def _make(folder: EvaluationFolder, plan: Plan) -> None:
    """Make the folder with its plan, or check that the folder already has this plan."""
    path = folder.path
    if folder.plan_file.is_file():
        check_same(plan, folder.plan(), where=str(path))
        return
    if path.is_dir() and any(path.iterdir()):
        raise RunError(f"{str(path)!r} is not empty and holds no evaluation: choose another folder with --out")
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(folder.environment_file, environment(git_commit()))
        write_json(folder.plan_file, plan)  # last: with it, this is an evaluation
    except OSError as error:
        raise RunError(f"cannot write to {str(path)!r} ({error.strerror}): choose another folder with --out") from error


def _taken_up(folder: EvaluationFolder) -> dict[Key, AnswerRecord]:
    """The records to keep; drops the failed ones, and the half line that a kill may have left."""
    kept = [record for record in folder.records() if not record.failed]
    folder.keep(kept)
    return {record.key: record for record in kept}


def _ask(
    target: Target,
    questions: Questions,
    sampling: Sampling,
    done: dict[Key, AnswerRecord],
    folder: EvaluationFolder,
    workers: int,
    should_stop: Callable[[], bool],
    progress: Progress,
) -> None:
    """Add the missing records to `done` and to the folder, until all are there or `should_stop` says yes."""
    tasks = {task.task_id: task for task in questions.tasks}
    keys = _keys(questions, sampling)
    todo = [Asked(task=tasks[task_id], sample=sample) for task_id, sample in keys if (task_id, sample) not in done]
    progress(len(done), len(keys), None)
    if not todo:
        return
    folder.summary_file.unlink(missing_ok=True)
    guard_environment(local_model=target.endpoint is None and Path(target.model).is_dir())
    in_a_row = 0
    with target.open() as endpoint:
        asker = Asker(
            answering=Answering(data=questions.folder, settings=target.profile.rollout),
            endpoint=endpoint,
            sampling=sampling,
        )
        for record in Crew(asker, workers=min(workers, len(todo)), stop=should_stop).over(todo):
            folder.append(record)
            done[record.key] = record
            progress(len(done), len(keys), record)
            in_a_row = in_a_row + 1 if record.failed else 0
            if in_a_row >= FAILURES_IN_A_ROW:
                raise FailureLimitError(
                    f"the last {in_a_row} questions failed for our reasons, not the model's; the last one: "
                    f"{record.failed}. {len(done)} of {len(keys)} records are in {str(folder.path)!r}: fix that, "
                    f"then resume with the same command"
                )


def _keys(questions: Questions, sampling: Sampling) -> list[Key]:
    return [(task.task_id, sample) for task in questions.tasks for sample in range(sampling.samples)]
