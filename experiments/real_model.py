"""What the agent makes of a real model: single turn against the loop, question by question, with every reply kept.

Asks a model behind an OpenAI-compatible endpoint the questions of one split (`--rows 0::10` takes every tenth) and
judges each answer by `sql_reward.judge`. `single` is the loop stopped after its first query, from the same replies.
Each reply is kept in `replies.jsonl` under a digest of the model, the prompt and the sampling, so a stopped experiment
goes on where it was, and another arm asks only what is new. The last line is JSON.

    python experiments/real_model.py --endpoint URL --model NAME --data DIR --out FOLDER
        [--split dev] [--rows 0::10] [--turns 3] [--check rules] [--rewrite lesson] [--workers 2]

`DIR` is Spider's own folder (`dev.json` beside `database/`) or a data folder of `spider-data` (`dev.parquet`).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spider_data import DatabaseCatalog, Split
from spider_data.spider.source import read_questions
from sql_graph import CheckMode, SqlDatabase, answer, open_chat
from sql_graph.options import RewriteForm
from sql_reward import Outcome, judge
from sql_reward.stats import compare_paired, wilson_interval

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

MAX_REPLY_TOKENS = 512
BUDGET_TOKENS = 3072
LEVELS = ("easy", "medium", "hard", "extra", "unknown")
REQUEST_S = 900.0
"""A slow core may need minutes for a long prompt; a lost question would be a hole in the sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of the sample."""

    row: int
    db_id: str
    text: str
    gold: str
    hardness: str


@dataclass(slots=True)
class Use:
    """What one question cost, cached replies included."""

    calls: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    model_s: float = 0.0


class Replies:
    """Every reply so far, in a file and in memory. Safe to share between threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._file = file
        self._known: dict[str, dict[str, Any]] = {}
        if file.exists():
            for line in file.read_text().splitlines():
                record = json.loads(line)
                self._known[record["key"]] = record

    def get(self, key: str) -> dict[str, Any] | None:
        """The reply kept under this key."""
        return self._known.get(key)

    def keep(self, record: dict[str, Any]) -> None:
        """Keep a reply, in the file too."""
        with self._lock, self._file.open("a") as stream:
            self._known[record["key"]] = record
            stream.write(json.dumps(record) + "\n")


class RememberingChat:
    """A chat model that asks the endpoint only what it was never asked, and counts what every reply costs."""

    temperature = 0.0
    """Greedy, so the agent may ask for another temperature where it rewrites again."""

    def __init__(self, chat: Any, replies: Replies, *, model: str, seed: int = 0) -> None:
        self._chat, self._replies, self._model, self._seed = chat, replies, model, seed
        self.use = Use()

    def invoke(self, input: list[BaseMessage], /, config: RunnableConfig | None = None, **sampling: Any) -> BaseMessage:
        """The model's reply; `temperature` is 0 unless the agent says otherwise."""
        from langchain_core.messages import AIMessage

        self.use.calls += 1
        asked = {"temperature": 0.0, **sampling}
        asked["seed"] = self._seed + self.use.calls if asked["temperature"] else 0
        said = [(message.type, message.content) for message in input]
        key = hashlib.sha256(json.dumps([self._model, said, sorted(asked.items())]).encode()).hexdigest()
        record = self._replies.get(key)
        if record is None:
            started = time.monotonic()
            reply = self._chat.invoke(input, config, **asked)
            usage = reply.response_metadata.get("token_usage") or {}
            record = {
                "key": key,
                "text": reply.content,
                "finish_reason": reply.response_metadata.get("finish_reason"),
                "prompt_tokens": usage.get("prompt_tokens", 0),
                "reply_tokens": usage.get("completion_tokens", 0),
                "seconds": round(time.monotonic() - started, 2),
            }
            self._replies.keep(record)
        self.use.prompt_tokens += record["prompt_tokens"]
        self.use.reply_tokens += record["reply_tokens"]
        self.use.model_s += record["seconds"]
        return AIMessage(record["text"], response_metadata={"finish_reason": record["finish_reason"]})


def questions(data: Path, split: str, rows: str) -> list[Question]:
    """The questions of the split that `rows`, a slice as in Python, takes."""
    parquet = data / f"{split}.parquet"
    file = parquet if parquet.exists() else data / f"{split}.json"
    tasks = read_questions([file], stem=split, split=Split.UNKNOWN)
    taken = range(len(tasks))[slice(*(int(part) if part else None for part in rows.split(":")))]
    return [
        Question(
            row=row,
            db_id=tasks[row].db_id,
            text=tasks[row].question,
            gold=tasks[row].query,
            hardness=str(tasks[row].hardness),
        )
        for row in taken
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question, answered by one arm."""

    row: int
    db_id: str
    hardness: str
    sql: str | None
    stop: str
    outcome: str
    """The verdict on the answer."""
    single_outcome: str
    """The verdict on the first query alone."""
    replies: int
    use: dict[str, float]
    attempts: list[dict[str, Any]]

    @property
    def right(self) -> bool:
        """Whether the answer matched."""
        return self.outcome == Outcome.MATCH

    @property
    def single_right(self) -> bool:
        """Whether the first query matched."""
        return self.single_outcome == Outcome.MATCH


class Arm:
    """One way to ask, applied to question after question. Safe to share between threads."""

    def __init__(self, options: argparse.Namespace, replies: Replies) -> None:
        self._options = options
        self._replies = replies
        self._chat = open_chat(
            model=options.model,
            base_url=options.endpoint,
            api_key=options.key,
            timeout_s=REQUEST_S,
            sampling_parameters={"max_tokens": MAX_REPLY_TOKENS, "top_p": 1.0},
        )
        self._databases: dict[str, SqlDatabase] = {}

    def __call__(self, question: Question) -> Answered:
        """Ask one question and judge its answer and its first query."""
        chat = RememberingChat(self._chat, self._replies, model=self._options.model, seed=self._options.seed)
        database = self._databases.setdefault(question.db_id, SqlDatabase(self._file(question.db_id)))
        found = answer(
            question.text,
            database=database,
            chat=chat,
            max_turns=self._options.turns,
            check=CheckMode(self._options.check),
            rewrite=RewriteForm(self._options.rewrite),
            prompt_budget_tokens=self._options.budget,
        )
        return Answered(
            row=question.row,
            db_id=question.db_id,
            hardness=question.hardness,
            sql=found.sql,
            stop=str(found.stop),
            outcome=self._outcome(question, found.sql),
            single_outcome=self._outcome(question, found.attempts[0].sql),
            replies=len(found.attempts),
            use=asdict(chat.use),
            attempts=found.to_dict()["attempts"],
        )

    def _outcome(self, question: Question, sql: str | None) -> str:
        return str(judge(sql, question.gold, [self._file(question.db_id)]).outcome)

    def _file(self, db_id: str) -> Path:
        return DatabaseCatalog(self._options.data).path(db_id)


def table(answered: Sequence[Answered]) -> list[str]:
    """The figures for people: accuracy, errors left and cost, in all and by hardness."""
    lines = [f"{'':14}{'right':>22}{'SQL errors':>12}{'calls':>8}{'prompt':>8}{'reply':>8}{'model s':>9}"]
    n = len(answered)
    singles = [one.single_right for one in answered]
    errors = sum(one.single_outcome == Outcome.SQL_ERROR for one in answered)
    lines.append(f"{'single turn':14}{_share(sum(singles), n):>22}{_percent(errors, n):>12}{1.0:8.2f}")
    use = {name: sum(one.use[name] for one in answered) / n for name in answered[0].use}
    errors = sum(one.outcome == Outcome.SQL_ERROR for one in answered)
    lines.append(
        f"{'loop':14}{_share(sum(one.right for one in answered), n):>22}{_percent(errors, n):>12}{use['calls']:8.2f}"
        f"{use['prompt_tokens']:8.0f}{use['reply_tokens']:8.0f}{use['model_s']:9.1f}"
    )
    paired = compare_paired(singles, [one.right for one in answered])
    lines.append(
        f"loop against single turn: {100 * paired.difference:+.1f} points [{100 * paired.interval.low:.1f}, "
        f"{100 * paired.interval.high:.1f}], gained {paired.only_second}, lost {paired.only_first}, "
        f"McNemar p = {paired.p_value:.3g}"
    )
    for level in dict.fromkeys(one.hardness for one in sorted(answered, key=lambda one: LEVELS.index(one.hardness))):
        part = [one for one in answered if one.hardness == level]
        before, after = sum(one.single_right for one in part), sum(one.right for one in part)
        lines.append(f"  {level:12} {_percent(before, len(part)):>7} → {_percent(after, len(part)):>7} of {len(part)}")
    lines.append(f"ends: {dict(Counter(one.stop for one in answered))}")
    return lines


def _share(right: int, n: int) -> str:
    interval = wilson_interval(right, n)
    return f"{100 * right / n:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _percent(part: int, n: int) -> str:
    return f"{100 * part / n:.1f} %"


def main() -> None:
    """Ask every question, print the table, and end in a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True, metavar="URL")
    parser.add_argument("--model", required=True)
    parser.add_argument("--key", default="none", help="API key, for an endpoint that asks for one.")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--rows", default="0::10", help="Which rows of the split, as a slice.")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--check", default="rules", choices=list(CheckMode))
    parser.add_argument("--rewrite", default="lesson", choices=list(RewriteForm))
    parser.add_argument("--budget", type=int, default=BUDGET_TOKENS, help="Longest prompt, in tokens.")
    parser.add_argument("--seed", type=int, default=0, help="Of the replies that are not greedy.")
    parser.add_argument("--workers", type=int, default=1, help="Questions at a time; 1 keeps a prefix cache.")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    asked = questions(options.data, options.split, options.rows)
    arm = Arm(options, Replies(options.out / "replies.jsonl"))
    started = time.monotonic()
    answered: list[Answered] = []
    with ThreadPoolExecutor(options.workers) as pool:
        for one in pool.map(arm, asked):
            answered.append(one)
            print(f"\r{len(answered)} of {len(asked)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    name = f"{options.split}-{options.rows.replace(':', '_')}-{options.rewrite}-{options.check}-{options.turns}"
    lines = "".join(json.dumps(asdict(one)) + "\n" for one in answered)
    (options.out / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    print("\n".join(table(answered)))
    right = [sum(one.single_right for one in answered), sum(one.right for one in answered)]
    errors = sum(one.outcome == Outcome.SQL_ERROR for one in answered)
    calls = sum(one.use["calls"] for one in answered) / len(answered)
    print(
        json.dumps(
            {
                "experiment": "real_model",
                "model": options.model,
                "arm": name,
                "questions": len(answered),
                "single": right[0],
                "loop": right[1],
                "sql_errors": errors,
                "calls": round(calls, 3),
                "seconds": round(time.monotonic() - started, 1),
            }
        )
    )


if __name__ == "__main__":
    main()
