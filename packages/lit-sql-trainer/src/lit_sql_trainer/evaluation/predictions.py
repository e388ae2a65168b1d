"""Writes answers in the form that Spider's own evaluators read: one query a line, with the gold file beside it.

Others can then check our numbers with their tools. The lines are in the order of the split.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.evaluation.records import AnswerRecord
from lit_sql_trainer.evaluation.summary import answered, chosen_record
from spider_data import SpiderTask

NO_ANSWER = "SELECT"
"""Stands for an answer without SQL: it fails in every evaluator, while an empty line ends a dialogue in some."""


def export_predictions(file: Path, records: Sequence[AnswerRecord], tasks: Sequence[SpiderTask]) -> Path:
    """Write the answers to `file` and the gold queries (`SQL<TAB>db_id`) beside it; return the gold file's path.

    With several samples the answer is the majority's.

    Raises:
        ConfigError: a question has no answer because our side failed; other evaluators would count it as wrong.
        RunError: the files cannot be written.
    """
    groups = answered(records)
    missing = [task.task_id for task in tasks if task.task_id not in groups]
    if missing:
        raise ConfigError(
            f"{len(missing)} questions have no answer for reasons of ours, such as {missing[0]!r}; other evaluators "
            f"would count them as wrong: run the same command again first"
        )
    answers = [chosen_record(groups[task.task_id]).sql for task in tasks]
    gold_file = file.with_name(f"{file.stem}.gold{file.suffix or '.txt'}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, [one_line(sql or "") or NO_ANSWER for sql in answers])
        _write(gold_file, [f"{one_line(task.query)}\t{task.db_id}" for task in tasks])
    except OSError as error:
        raise RunError(f"cannot write {str(file)!r} ({error.strerror}): choose another file") from error
    return gold_file


def one_line(sql: str) -> str:
    """The same query on one line: comments go, each white-space character becomes a blank.

    Inside quotes a line break becomes a blank too, because the format cannot write one.
    """
    kept: list[str] = []
    place = 0
    while place < len(sql):
        letter = sql[place]
        if letter in "'\"`[":
            end = sql.find("]" if letter == "[" else letter, place + 1)
            end = len(sql) if end < 0 else end + 1
            kept.append(" ".join(sql[place:end].splitlines()).replace("\t", " "))
        elif sql.startswith("--", place):
            end = sql.find("\n", place)
            end = len(sql) if end < 0 else end
            kept.append(" ")
        elif sql.startswith("/*", place):
            end = sql.find("*/", place + 2)
            end = len(sql) if end < 0 else end + 2
            kept.append(" ")
        else:
            end = place + 1
            kept.append(" " if letter.isspace() else letter)
        place = end
    return "".join(kept).strip()


def _write(file: Path, lines: Sequence[str]) -> None:
    part = file.with_name(f".{file.name}.part")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.replace(file)
