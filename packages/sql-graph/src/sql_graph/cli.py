"""The command `sql-graph`: ask one question, hold a conversation, draw the agent.

Slow imports wait until a command needs them, so `--help` answers at once. Exit codes: 0 a query that ran was
found; 2 an argument makes no sense; 3 the database is at fault; 4 the model cannot be asked; 5 the agent ended without
a query that runs; 130 interrupted.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sql_graph.errors import EmptyQuestionError, MissingExtraError, SqlGraphError, UsageError
from sql_graph.option_names import with_options
from sql_graph.waiting import Waiting

if TYPE_CHECKING:
    from sql_graph.agent.endpoint import EndpointOptions
    from sql_graph.agent.nodes import Agent
    from sql_graph.agent.state import SqlAnswer
    from sql_graph.databases.database import SqlDatabase
    from sql_graph.ports import ChatModel

NO_QUERY = 5
"""Exit code when the agent ended without a query that runs."""

_EPILOG = (
    "Exit codes: 0 a query that ran was found, 2 bad argument, 3 database at fault, 4 model cannot be asked, "
    "5 no query that runs, 130 interrupted. The API key is read from OPENAI_API_KEY."
)


def agent_options(command: Callable[..., None], *, needs_model: bool = True) -> Callable[..., None]:
    """The options that `ask` and `chat` share; the command gets them as the keywords of `open_agent`."""
    for option in reversed(
        [
            click.option(
                "--db",
                required=True,
                envvar="SQL_GRAPH_DB",
                show_envvar=True,
                help="SQLAlchemy URL, or a SQLite or DuckDB file.",
            ),
            click.option(
                "--notes",
                type=click.Path(dir_okay=False, path_type=Path),
                default=None,
                help="Text file of what the schema does not say: a glossary, formulas, conventions.",
            ),
            click.option(
                "--model",
                required=needs_model,
                envvar="SQL_GRAPH_MODEL",
                show_envvar=True,
                help="The model's name at the endpoint.",
            ),
            click.option("--base-url", default=None, help="OpenAI-compatible endpoint.  [env var: OPENAI_API_BASE]"),
            click.option("--max-turns", default=3, show_default=True, help="Queries executed at most."),
            click.option("--votes", default=1, show_default=True, help="Samples that vote on the answer, at most."),
            click.option(
                "--check",
                type=click.Choice(["llm", "rules", "both", "none"]),
                default="rules",
                show_default=True,
                help="What checks a query after it ran: the model, rules, or both.",
            ),
            click.option(
                "--rewrite",
                type=click.Choice(["lesson", "conversation"]),
                default="lesson",
                show_default=True,
                help="Ask again by what failures taught, or by the failed query itself.",
            ),
            click.option(
                "--style",
                type=click.Choice(["full", "compact"]),
                default="full",
                show_default=True,
                help="Full prompts, or compact ones for a small model.",
            ),
            click.option("--prompt-budget", default=4096, show_default=True, help="Longest prompt, in tokens."),
            click.option("--temperature", default=0.0, show_default=True, help="Randomness of the replies."),
            click.option("--max-tokens", default=None, type=int, help="Longest reply, in tokens."),
            click.option(
                "--effort",
                type=click.Choice(["none", "low", "medium", "high"]),
                default=None,
                help="How much a thinking model thinks; by default the server decides.",
            ),
            click.option("--thinking-tokens", default=None, type=int, help="Room for thoughts before the reply."),
            click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for a reply."),
            click.option("--deadline", default=5.0, show_default=True, help="Seconds a query may run."),
            click.option("--max-rows", default=10_000, show_default=True, help="Rows fetched of a result at most."),
        ]
    ):
        command = option(command)
    return command


def stops_on_errors(command: Callable[..., None]) -> Callable[..., None]:
    """End a command with one line and the error's exit code."""

    @wraps(command)
    def guarded(**options: Any) -> None:
        try:
            command(**options)
        except SqlGraphError as error:
            message = with_options(error)
            if options.get("as_json"):
                click.echo(json.dumps({"error": type(error).__name__, "message": message}))
            click.echo(f"sql-graph: {message}", err=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("sql-graph: interrupted", err=True)
            sys.exit(130)

    return guarded


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sql-graph")
def main() -> None:
    """Answer questions about any SQL database with any OpenAI-compatible model. Reads only, within limits."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the terminal's encoding may lack a character that the database holds


@main.command(epilog=_EPILOG)
@click.argument("question")
@agent_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the turns.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write the whole result to this file; - prints it in place of the turns.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show the model's reasoning and its tokens, call by call.")
@stops_on_errors
def ask(question: str, as_json: bool, csv_file: Path | None, verbose: bool, **options: Any) -> None:
    """Answer QUESTION, and show each turn: the query, its result, the verdict of the check.

    Example: sql-graph ask --db shop.sqlite --model my-model "How many orders were placed in May?"
    """
    to_stdout = csv_file is not None and str(csv_file) == "-"
    if as_json and to_stdout:
        raise UsageError("--json and --csv - both print to standard output", argument="--csv", advice="give one a file")
    agent = open_agent(**options)
    if as_json:
        with Waiting(f"asking {options['model']!r}"):
            found = run(agent, question, history=[], show=None)
        click.echo(json.dumps(found.to_dict(), ensure_ascii=False))
    else:
        from sql_graph.console import TurnPrinter, shown_on

        printer = TurnPrinter(shown_on(sys.stderr if to_stdout else sys.stdout), verbose=verbose)
        with printer.waiting():
            found = run(agent, question, history=[], show=printer.update, on_sample=printer.sample)
        printer.end(found)
    if not found.ran:
        sys.exit(NO_QUERY)
    if csv_file is not None:
        from sql_graph.console import write_result

        write_result(found, None if to_stdout else csv_file)


@main.command(epilog=_EPILOG)
@agent_options
@stops_on_errors
def chat(**options: Any) -> None:
    """Hold a conversation: later questions may refer to earlier ones.

    An empty line or /quit ends the conversation, /new forgets it, /help explains.

    Example: sql-graph chat --db postgresql+psycopg://me@localhost/shop --model my-model
    """
    from sql_graph.console import converse

    agent = open_agent(**options)
    converse(lambda question, history, show: run(agent, question, history=history, show=show))


@main.command("mcp", epilog=_EPILOG)
@partial(agent_options, needs_model=False)
@click.option("--http", "port", type=click.IntRange(1, 65535), help="Serve HTTP on this loopback port, not stdio.")
@stops_on_errors
def serve_mcp(port: int | None, **options: Any) -> None:
    """Serve the database to clients of the Model Context Protocol: the tools ask, run_readonly and schema.

    Speaks on standard input and output unless --http is given. Without --model there is no tool ask. Needs the extra
    sql-graph[mcp].

    Example: sql-graph mcp --db shop.sqlite --model my-model
    """
    try:
        from sql_graph.mcp_server import build_server, serve
    except ModuleNotFoundError as error:
        raise MissingExtraError(purpose="sql-graph mcp", module=error.name or "mcp", extra="mcp") from None
    if options["model"] is None:
        given = {name: options[name] for name in ("db", "notes", "deadline", "max_rows")}
        database = open_database(**given)
        server = build_server(database)
    else:
        agent = open_agent(**options)
        server = build_server(agent.database, ask=lambda question: run(agent, question, history=[], show=None))
    serve(server, port=port)


@main.command()
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Draw into this file, with graphviz.")
@stops_on_errors
def draw(png: Path | None) -> None:
    """Print the agent's graph as mermaid text, or draw it.

    Example: sql-graph draw
    """
    from sql_graph.agent.graph import build_graph
    from sql_graph.testing import ScriptedChat, TableDatabase

    graph = build_graph(chat=ScriptedChat([]), database=TableDatabase({})).get_graph()
    if png is None:
        click.echo(graph.draw_mermaid())
        return
    from sql_graph.console import draw_png

    draw_png([(edge.source, edge.target, edge.conditional) for edge in graph.edges], png)
    click.echo(f"drawn into {png}")


def open_database(*, db: str, notes: Path | None, deadline: float, max_rows: int) -> SqlDatabase:
    """Open a database and read its schema, so that a wrong address ends the command."""
    from sql_graph.databases.database import SqlDatabase
    from sql_graph.databases.limits import DatabaseLimits
    from sql_graph.notes import Notes

    told = None if notes is None else Notes.read(notes)
    database = SqlDatabase(db, limits=DatabaseLimits(deadline_s=deadline, max_rows=max_rows), notes=told)
    _ = database.schema
    return database


def open_agent(
    *,
    db: str,
    notes: Path | None,
    model: str,
    base_url: str | None,
    max_turns: int,
    votes: int,
    check: str,
    rewrite: str,
    style: str,
    prompt_budget: int,
    temperature: float,
    max_tokens: int | None,
    effort: str | None,
    thinking_tokens: int | None,
    timeout: float,
    deadline: float,
    max_rows: int,
) -> Agent:
    """Open the agent of a command's options. The schema is read first, so a wrong database ends the command."""
    with Waiting("reading the schema") as waiting:
        database = open_database(db=db, notes=notes, deadline=deadline, max_rows=max_rows)
        waiting.update("loading the agent")
        from sql_graph.agent.endpoint import OPENAI_URL, endpoint_address
        from sql_graph.agent.http_chat import open_http_chat
        from sql_graph.agent.nodes import Agent
        from sql_graph.agent.prompts import PromptBudget
        from sql_graph.agent.thinking import Effort, thinking_parameters
        from sql_graph.options import CheckMode, PromptStyle, RewriteForm

        thinking = thinking_parameters(
            effort=None if effort is None else Effort(effort),
            thinking_tokens=thinking_tokens,
            max_tokens=max_tokens,
            is_openai=endpoint_address(base_url) == OPENAI_URL,
        )
        behind: EndpointOptions = {
            "model": model,
            "base_url": base_url,
            "timeout_s": timeout,
            "sampling_parameters": {"temperature": temperature, **thinking},
        }
        chat = open_http_chat(**behind)
        if not (base_url or os.environ.get("OPENAI_API_BASE") or os.environ.get("OPENAI_BASE_URL")):
            waiting.note(
                f"no --base-url and no OPENAI_API_BASE, so {model!r} is asked at {chat.endpoint.url}; "
                "the question and the schema go there"
            )
        return Agent(
            database=database,
            chat=_traced_chat(behind) if _is_traced() else chat,
            max_turns=max_turns,
            votes=votes,
            check=CheckMode(check),
            rewrite=RewriteForm(rewrite),
            style=PromptStyle(style),
            budget=PromptBudget(total_tokens=prompt_budget),
        )


def _is_traced() -> bool:
    """Whether the environment turns LangChain's tracing on; traces show only LangGraph and LangChain's own models."""
    names = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
    return any(os.environ.get(name, "").lower() == "true" for name in names)


def _traced_chat(behind: EndpointOptions) -> ChatModel:
    from sql_graph.agent.chat import open_chat  # takes a second, and only tracers need it

    return open_chat(**behind)


def run(
    agent: Agent,
    question: str,
    *,
    history: list[tuple[str, str]],
    show: Callable[[dict[str, Any]], None] | None,
    on_sample: Callable[[int], None] = lambda sample: None,
) -> SqlAnswer:
    """Answer one question; `show` receives each node's changes as they happen, `on_sample` each sample's number."""
    from sql_graph.agent.walk import walk

    if not question.strip():
        raise EmptyQuestionError()
    if _is_traced():
        from sql_graph.agent.graph import run_agent  # takes seconds, and only tracers need it

        return run_agent(agent, question, history=history, on_update=show, on_sample=on_sample)
    return walk(agent, question, history=history, on_update=show, on_sample=on_sample)
