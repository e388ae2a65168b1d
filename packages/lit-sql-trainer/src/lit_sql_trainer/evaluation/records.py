"""Reads and writes the folder of an evaluation, which is valid at any moment.

    <folder>/
        evaluation.json    what decides the numbers: model, questions, databases, rules, samples, prompts
        environment.json   versions, machine, commit, command line
        verdicts.jsonl     a line for each question and sample, appended when it ends; no gold
        summary.json       the numbers, once every question has a line

One write appends a line; one move replaces a whole file.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.machine.lock import locked
from lit_sql_trainer.runs.folder import FileIn, append_line, read_lines, replace_text, write_json
from sql_reward import Outcome

VERSION = 1


class Votes(TypedDict, total=False):
    """The part of a plan and of a summary that only an evaluation with votes has."""

    votes: int


class Plan(Votes):
    """What decides the numbers of an evaluation; `evaluation.json`."""

    version: int
    label: str
    model: str
    model_path: str
    endpoint: str
    weights: str
    data: str
    split: str
    questions: int
    questions_digest: str
    databases: int
    databases_digest: str
    unseen: list[str]
    rules: str
    samples: int
    temperature: float
    seed: int
    rollout: Mapping[str, object]
    context_tokens: int | None


class Score(TypedDict):
    """A share of the questions, with its 95 % interval."""

    rate: float | None
    """None without questions."""
    low: float
    high: float
    right: float
    questions: int


class Line(TypedDict):
    """What one part of the answers scores."""

    name: str
    suite: Score
    single: Score


class Summary(Votes):
    """The numbers of an evaluation; `summary.json`."""

    version: int
    label: str
    split: str
    questions: int
    answered: int
    samples: int
    temperature: float
    failed: int
    failures: dict[str, int]
    lines: list[Line]
    pass_at_k: dict[str, Score]
    hardness: list[Line]
    databases: list[Line]
    seen: list[Line]
    after_replies: list[Line]
    replies: list[Line]
    rewrites: dict[str, int]
    outcomes: dict[str, int]
    stops: dict[str, int]
    empty_matches: int
    agreement: NotRequired[list[Line]]
    """With votes: the answers by how many of their samples agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The verdict that the answer would get if the agent stopped after this reply."""

    outcome: str
    databases_passed: int
    databases_total: int

    @property
    def suite(self) -> bool:
        """Right on every database of the suite."""
        return self.outcome == Outcome.MATCH

    @property
    def single(self) -> bool:
        """Right on the main database, whatever the variants say."""
        return self.suite or self.databases_passed > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """One question answered once, or the reason why our side failed to ask it."""

    task_id: str
    db_id: str
    hardness: str
    question: str
    sample: int
    sql: str | None = None
    """The answer; None when no reply held SQL."""
    queries: tuple[str | None, ...] = ()
    """The query of each reply, None for a reply without one."""
    standings: tuple[Standing, ...] = ()
    """One for each reply: the first is what a single turn would score, the last is the answer's."""
    stop: str = ""
    detail: str = ""
    digest: str | None = None
    """Digest of the answer's rows on the main database, for the vote; None without rows or without a vote."""
    empty_match: bool = False
    """The answer is right and the gold result is empty, so any query with an empty result would be right."""
    seconds: float = 0.0
    failed: str = ""
    """Why there is no answer, although the model did nothing wrong; empty when there is one."""
    vote: Standing | None = None
    """The verdict on the answer that samples elected; then `queries` and `standings` are those of the greedy sample."""
    agreement: float | None = None
    """The share of the samples that agree with the elected answer, in [0, 1]."""
    drawn: int = 1
    """Samples drawn for the answer."""

    @property
    def key(self) -> tuple[str, int]:
        """Identifies the record in its evaluation."""
        return self.task_id, self.sample

    @property
    def final(self) -> Standing:
        """The verdict on the answer; a failed record has none."""
        return self.vote or self.alone

    @property
    def alone(self) -> Standing:
        """The verdict on what the agent answers without votes."""
        return self.standings[-1]

    @property
    def first(self) -> Standing:
        """The verdict on the first query, which is the single-turn answer."""
        return self.standings[0]

    @classmethod
    def from_row(cls, row: Mapping[str, object]) -> AnswerRecord:
        """The record whose `asdict` was written."""
        fields = cast("dict[str, Any]", {**row})
        fields["queries"] = tuple(fields["queries"])
        fields["standings"] = tuple(Standing(**standing) for standing in fields["standings"])
        if vote := fields.get("vote"):
            fields["vote"] = Standing(**vote)
        return cls(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationFolder:
    """The paths of one evaluation, and the only code that writes them."""

    path: Path
    plan_file = FileIn("evaluation.json")
    environment_file = FileIn("environment.json")
    verdicts_file = FileIn("verdicts.jsonl")
    summary_file = FileIn("summary.json")

    def plan(self) -> Plan:
        """The plan: what decides the numbers.

        Raises:
            RunError: the folder holds no evaluation, or a damaged one.
        """
        return cast("Plan", self._read(self.plan_file))

    def summary(self) -> Summary:
        """The numbers.

        Raises:
            RunError: the evaluation has not ended.
        """
        if self.plan_file.is_file() and not self.summary_file.is_file():
            raise RunError(
                f"evaluation {str(self.path)!r} has not ended: resume it with the command that began it, "
                f"with --out {self.path}"
            )
        return cast("Summary", self._read(self.summary_file))

    def records(self) -> list[AnswerRecord]:
        """Every whole line so far.

        Raises:
            RunError: a line is damaged.
        """
        try:
            return [AnswerRecord.from_row(row) for row in read_lines(self.verdicts_file)]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{str(self.verdicts_file)!r} holds a line that is no record ({error}): remove the folder and "
                f"evaluate again"
            ) from error

    @contextmanager
    def locked(self) -> Generator[None]:
        """Keep other processes from writing to the folder while the block runs; a kill ends the lock too.

        Raises:
            RunError: another process holds the lock.
        """
        with locked(self.path, doing="evaluating into", advice="wait for it, or choose another folder with --out"):
            yield

    def append(self, record: AnswerRecord) -> None:
        """Add one record.

        Raises:
            RunError: it cannot be written.
        """
        with _writing():
            append_line(self.verdicts_file, asdict(record))

    def keep(self, records: Sequence[AnswerRecord]) -> None:
        """Replace all lines by those of `records`, in their order, in one move.

        Raises:
            RunError: they cannot be written.
        """
        text = "".join(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)
        with _writing():
            replace_text(self.verdicts_file, text)

    def sum_up(self, summary: Summary) -> None:
        """Write the numbers, which ends the evaluation.

        Raises:
            RunError: they cannot be written.
        """
        with _writing():
            write_json(self.summary_file, summary)

    def _read(self, file: Path) -> object:
        try:
            return json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(
                f"{str(self.path)!r} is no evaluation ({file.name}: {error}): name a folder that `lit-sql eval` made"
            ) from error


@contextmanager
def _writing() -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write to {str(error.filename)!r} ({error.strerror}): fix that and run the same command again; it "
            f"keeps what is already written"
        ) from error
