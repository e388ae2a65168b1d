"""Show the turns of an answer, and hold a conversation, on a terminal.

Everything that comes from a model or a database is shown as plain text: no markup, and no control characters that a
terminal would obey.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.syntax import Syntax
from rich.text import Text

from sql_graph.agent.calls import Call
from sql_graph.agent.nodes import CHECK, EXECUTE, REWRITE, WRITE
from sql_graph.agent.state import SqlAnswer, StopReason
from sql_graph.errors import SqlGraphError, UsageError
from sql_graph.waiting import Waiting

Show = Callable[[dict[str, Any]], None]
Ask = Callable[[str, list[tuple[str, str]], Show], SqlAnswer]
"""Answers a question, given the conversation so far."""

_ENDS = {
    StopReason.APPROVED: "approved",
    StopReason.MAX_TURNS: "ended at the last turn allowed, unchecked",
    StopReason.REPEATED: "ended: the rewrite repeats an earlier query",
    StopReason.NO_SQL: "ended: the reply holds no SQL",
    StopReason.CUT: "ended: the reply was cut by its length limit; allow more with --max-tokens or --thinking-tokens",
}
_ENDLESS = 10_000
"""Columns of an output that is no terminal."""
_HELP = "Ask in words. /new forgets what was said, /quit or an empty line ends."
_FORBIDDEN = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def harmless(text: str) -> str:
    """A text without control characters other than line ends and tabs."""
    return text.translate(_FORBIDDEN)


class TurnPrinter:
    """Prints each node's changes as they arrive."""

    def __init__(self, console: Console | None = None, *, verbose: bool = False) -> None:
        self._console = console or shown_on(sys.stdout)
        self._verbose = verbose
        self._replies = 0
        self._bar: tuple[Progress, TaskID] | None = None

    def waiting(self) -> AbstractContextManager[object]:
        """While the model is asked: a line on the terminal that counts the seconds, else `Waiting`."""
        if not self._console.is_terminal:
            return Waiting("asking the model")
        columns = (SpinnerColumn(), TextColumn("asking the model … {task.elapsed:.0f} s"))
        progress = Progress(*columns, console=self._console, transient=True)
        self._bar = progress, progress.add_task("", total=None)
        return progress

    def update(self, changes: dict[str, Any]) -> None:
        """Show what one node changed, as LangGraph streams it: `{node: changed keys}`."""
        if self._bar is not None:
            self._bar[0].reset(self._bar[1])
        for node, changed in changes.items():
            if "attempts" not in changed:
                continue
            attempt = changed["attempts"][-1]
            if node in (WRITE, REWRITE):
                self._reply(attempt)
            elif node == EXECUTE:
                if attempt.get("written"):
                    self._text(f"run as: {attempt['query']}", "yellow")
                failed = attempt["observation"]["status"] not in ("rows", "empty")
                self._text(attempt["observation"]["text"], "red" if failed else "")
            elif node == CHECK:
                self._text(f"check: {attempt['feedback']}", "yellow")
                for hint in attempt.get("hints", ()):
                    self._text(f"hint: {hint}", "yellow")

    def sample(self, number: int) -> None:
        """Show that a further sample of the answer begins."""
        self._replies = 0
        self._console.print()
        self._console.print(Text(f"── sample {number + 1}", style="bold"))

    def end(self, found: SqlAnswer) -> None:
        """Show why the agent stopped."""
        style = "green" if found.ran else "red"
        if self._verbose:
            self._calls(found.calls)
        if found.agreement is not None:
            self._elected(found)
        self._console.print()
        self._console.print(Text(f"{_ENDS[found.stop]} · turns: {found.turns}", style=f"bold {style}"))

    def _elected(self, found: SqlAnswer) -> None:
        """Show what the samples elected, and how many agree."""
        drawn = len(found.samples)
        agreeing = round((found.agreement or 0.0) * drawn)
        self._console.print()
        said = f"── {agreeing} of {drawn} samples agree ({found.agreement:.0%})"
        self._console.print(Text(said, style="bold cyan"))
        if found.sql is not None:
            self._sql(found.sql)
        if found.observation is not None:
            self._text(found.observation.text, "")

    def _calls(self, calls: Sequence[Call]) -> None:
        """Show what each call cost and the reasoning behind it."""
        sampled = any(call.sample for call in calls)
        for i, call in enumerate(calls):
            self._console.print()
            node = call.node.replace("_", " ")
            sample = f"sample {call.sample + 1} · " if sampled else ""
            self._console.print(Text(f"call {i + 1} · {sample}{node} · {_tokens(call)}", style="bold blue"))
            if call.reasoning:
                self._text(call.reasoning, "dim")

    def _reply(self, attempt: dict[str, Any]) -> None:
        self._replies += 1
        self._console.print()
        self._console.print(Text(f"{self._replies} · {attempt['node'].replace('_', ' ')}", style="bold cyan"))
        if attempt["query"] is not None:
            self._sql(attempt["query"])
        elif attempt.get("reply"):
            source = "the model gave only its reasoning" if attempt.get("only_reasoning") else "the model says"
            self._text(f"{source}: {attempt['reply']}", "yellow")
        else:
            self._text("the model says nothing", "yellow")

    def _sql(self, sql: str) -> None:
        self._indented(Syntax("", "sql", background_color="default").highlight(harmless(sql)))

    def _text(self, text: str, style: str) -> None:
        self._indented(Text(harmless(text), style=style))

    def _indented(self, text: Text) -> None:
        """Print a text two columns in, its long lines broken between words where the output has an edge."""
        text.rstrip()
        for line in text.wrap(self._console, self._console.width - 2, overflow="fold", no_wrap=False):
            line.rstrip()
            self._console.print(Text("  ").append_text(line))


def shown_on(stream: TextIO) -> Console:
    """A console that writes to a stream: as wide as the terminal; elsewhere no line is wrapped or cut."""
    console = Console(file=stream, highlight=False)
    return console if console.is_terminal else Console(file=stream, highlight=False, width=_ENDLESS)


def _tokens(call: Call) -> str:
    """How many tokens a call read and wrote, as far as the endpoint says."""
    if call.prompt_tokens is None and call.completion_tokens is None:
        return "tokens not counted by the endpoint"
    reasoning = "" if call.reasoning_tokens is None else f", {call.reasoning_tokens} of them reasoning"
    counts = ("?" if count is None else str(count) for count in (call.prompt_tokens, call.completion_tokens))
    return "tokens: {} read, {} written".format(*counts) + reasoning


def write_result(found: SqlAnswer, target: Path | None) -> None:
    """Write an answer's rows as CSV to a file, or to standard output; say where rows are left out."""
    from sql_graph.frames import write_csv

    write_csv(found.columns, found.rows, target)
    where = "" if target is None else f" in {target}"
    if found.more_rows:
        click.echo(
            f"sql-graph: the result is longer; the first {len(found.rows)} rows are{where or ' here'}; "
            "fetch more with --max-rows",
            err=True,
        )


def converse(ask: Ask, console: Console | None = None) -> None:
    """Read questions until an empty line, `/quit` or the end of the input. An error ends only one question."""
    console = console or shown_on(sys.stdout)
    if console.is_terminal:
        importlib.import_module("readline")  # line editing and recall for input()
    console.print(Text(_HELP, style="dim"))
    history: list[tuple[str, str]] = []
    while question := _read(console):
        if question == "/new":
            history.clear()
            console.print(Text("forgotten", style="dim"))
        elif question.startswith("/"):
            console.print(Text(_HELP, style="dim"))
        else:
            _answer(ask, question, history, console)


def draw_png(edges: Iterable[tuple[str, str, bool]], target: Path) -> None:
    """Draw a graph with graphviz's `dot`: (source, target, conditional) edges, conditional ones dotted.

    Raises:
        UsageError: graphviz is not installed, or the file cannot be written.
    """
    dot = shutil.which("dot")
    if dot is None:
        raise UsageError(
            "graphviz's `dot` is not installed",
            argument="--png",
            advice="install graphviz, or leave out --png for mermaid text",
        )
    lines = [f'  "{source}" -> "{end}"{" [style=dotted]" if dotted else ""};' for source, end, dotted in edges]
    text = "\n".join(["digraph sql_agent {", "  node [shape=box, style=rounded];", *lines, "}"])
    done = subprocess.run([dot, "-Tpng", "-o", str(target)], input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise UsageError(f"graphviz cannot draw into {str(target)!r}: {done.stderr.strip()}", argument="--png")


def _read(console: Console) -> str:
    """The next line; empty at `/quit` and at the end of the input."""
    try:
        line = console.input("\n[bold]?[/bold] ").strip()
    except EOFError:
        return ""
    return "" if line in ("/quit", "/exit") else line


def _answer(ask: Ask, question: str, history: list[tuple[str, str]], console: Console) -> None:
    printer = TurnPrinter(console)
    try:
        with printer.waiting():
            found = ask(question, history, printer.update)
    except SqlGraphError as error:
        console.print(Text(harmless(str(error)), style="red"))
        return
    printer.end(found)
    if found.sql is not None and found.ran:
        history.append((question, found.sql))
