"""Compares two evaluations of the same questions: which is better, how sure that is, and on which questions.

The comparison goes question by question, because what both got right or wrong says nothing about their difference. It
refuses evaluations that do not measure the same thing, and names what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.evaluation.plan import differences
from lit_sql_trainer.evaluation.questions import read_questions
from lit_sql_trainer.evaluation.records import AnswerRecord
from lit_sql_trainer.evaluation.run import Evaluation, load_evaluation
from lit_sql_trainer.evaluation.summary import LEVELS, answered, chosen_record
from sql_reward.stats import PairedComparison, compare_paired

SAME = {
    "version": "version of the records",
    "split": "split",
    "questions_digest": "questions",
    "databases_digest": "databases",
    "rules": "rules",
    "samples": "samples (-k)",
    "temperature": "temperature",
}
"""The keys of the plan that two evaluations must share, and how the error message names each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A question that one of the two answered right and the other did not."""

    task_id: str
    db_id: str
    hardness: str
    question: str
    first_sql: str | None
    second_sql: str | None
    first_outcome: str
    second_outcome: str
    gold_sql: str | None = None
    """Only when the caller asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of comparing two evaluations. Differences are second minus first."""

    first: Evaluation
    second: Evaluation
    suite: PairedComparison
    """On the whole suite of databases."""
    single: PairedComparison
    """On the main database alone."""
    hardness: Mapping[str, PairedComparison]
    """On the suite, by Spider's levels."""
    won: tuple[Decided, ...]
    """Questions that only the second answered right, in the order of the split."""
    lost: tuple[Decided, ...]
    """Questions that only the first answered right."""
    left_out: int
    """Questions that one of them has no answer to because our side failed."""
    differs: tuple[str, ...]
    """What differs and is allowed to: the model, its settings."""

    def to_dict(self) -> dict[str, object]:
        """The comparison as JSON values."""
        return {
            "first": _side(self.first),
            "second": _side(self.second),
            "suite": paired_dict(self.suite),
            "single": paired_dict(self.single),
            "hardness": {level: paired_dict(paired) for level, paired in self.hardness.items()},
            "left_out": self.left_out,
            "differs": list(self.differs),
            "won": [asdict(decided) for decided in self.won],
            "lost": [asdict(decided) for decided in self.lost],
        }


def compare(first: Path, second: Path, *, show_gold: bool = False) -> Comparison:
    """Compare two evaluations, each given by its folder, or by a run folder that holds one evaluation.

    With several samples of a question, the answers of the majority are compared.

    Raises:
        RunError: there is no finished evaluation, or the two do not measure the same thing.
        DataError: the caller asks for the gold queries, and they are gone.
    """
    one, other = load_evaluation(evaluation_folder(first)), load_evaluation(evaluation_folder(second))
    _check_comparable(one, other)
    before, after = _answers(one), _answers(other)
    both = [task_id for task_id in before if task_id in after]
    if not both:
        raise RunError(f"no question was answered in both {str(first)!r} and {str(second)!r}: evaluate them again")
    asked = {record.task_id for record in one.records}
    golds = _golds(one) if show_gold else {}
    decided = {
        task_id: _decided(before[task_id], after[task_id], golds.get(task_id))
        for task_id in both
        if before[task_id].final.suite != after[task_id].final.suite
    }
    levels: dict[str, list[str]] = {}
    for task_id in both:
        levels.setdefault(before[task_id].hardness, []).append(task_id)
    return Comparison(
        first=one,
        second=other,
        suite=_paired(before, after, both, suite=True),
        single=_paired(before, after, both, suite=False),
        hardness={level: _paired(before, after, levels[level], suite=True) for level in LEVELS if level in levels},
        won=tuple(decided[task_id] for task_id in decided if after[task_id].final.suite),
        lost=tuple(decided[task_id] for task_id in decided if before[task_id].final.suite),
        left_out=len(set(before) | set(after)) - len(both) + len(asked - set(before) - set(after)),
        differs=tuple(difference.replace(", now ", " and ") for difference in differences(one.plan, other.plan)),
    )


def evaluation_folder(path: Path) -> Path:
    """The folder of the evaluation at `path`, or of the only evaluation of the run at `path`.

    Raises:
        RunError: there is none, or there are several.
    """
    if (path / "evaluation.json").is_file():
        return path
    inside = sorted(file.parent for file in (path / "evaluations").glob("*/evaluation.json"))
    if len(inside) == 1:
        return inside[0]
    if inside:
        raise RunError(f"run {str(path)!r} has {len(inside)} evaluations: name one of {', '.join(map(str, inside))}")
    raise RunError(f"no evaluation at {str(path)!r}: make one with `lit-sql eval`")


def paired_dict(paired: PairedComparison) -> dict[str, object]:
    """A paired comparison as JSON values."""
    return {
        "questions": paired.total,
        "both": paired.both,
        "only_first": paired.only_first,
        "only_second": paired.only_second,
        "neither": paired.neither,
        "difference": paired.difference,
        "low": paired.interval.low,
        "high": paired.interval.high,
        "p": paired.p_value,
    }


def _check_comparable(one: Evaluation, other: Evaluation) -> None:
    wrong = [
        f"{name} ({one.plan.get(key)!r} and {other.plan.get(key)!r})"
        for key, name in SAME.items()
        if one.plan.get(key) != other.plan.get(key)
    ]
    if wrong:
        raise RunError(
            f"{str(one.folder.path)!r} and {str(other.folder.path)!r} do not measure the same thing; they differ in "
            f"{', '.join(wrong)}: evaluate both with the same `lit-sql eval` options and data"
        )


def _answers(evaluation: Evaluation) -> dict[str, AnswerRecord]:
    """The answer to each question that has one."""
    return {task_id: chosen_record(group) for task_id, group in answered(evaluation.records).items()}


def _golds(evaluation: Evaluation) -> dict[str, str]:
    plan = evaluation.plan
    questions = read_questions(Path(plan["data"]), plan["split"])
    return {task.task_id: task.query for task in questions.tasks}


def _decided(first: AnswerRecord, second: AnswerRecord, gold: str | None) -> Decided:
    return Decided(
        task_id=first.task_id,
        db_id=first.db_id,
        hardness=first.hardness,
        question=first.question,
        first_sql=first.sql,
        second_sql=second.sql,
        first_outcome=first.final.outcome,
        second_outcome=second.final.outcome,
        gold_sql=gold,
    )


def _paired(
    before: Mapping[str, AnswerRecord], after: Mapping[str, AnswerRecord], ids: Sequence[str], *, suite: bool
) -> PairedComparison:
    def right(record: AnswerRecord) -> bool:
        return record.final.suite if suite else record.final.single

    return compare_paired([right(before[each]) for each in ids], [right(after[each]) for each in ids])


def _side(evaluation: Evaluation) -> dict[str, object]:
    return {
        "path": str(evaluation.folder.path),
        "label": evaluation.plan["label"],
        "split": evaluation.plan["split"],
        "failed": sum(bool(record.failed) for record in evaluation.records),
    }
