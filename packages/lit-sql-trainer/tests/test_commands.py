"""The commands answer at once, and refuse in one line what cannot be done."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lit_sql_trainer import PROFILES, Profile
from lit_sql_trainer.cli import main
from lit_sql_trainer.commands.train import train_main
from lit_sql_trainer.profile import apply_assignments, assignments, from_plain, to_plain
from lit_sql_trainer.runs import create_run

LIST_MODULES = Path(__file__).parent / "programs" / "list_modules.py"


def train(*arguments: object) -> Result:
    return CliRunner().invoke(train_main, [str(argument) for argument in arguments])


def refused(result: Result) -> str:
    """The one line of a refusal."""
    assert result.exit_code == 2, result.output
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    return lines[0]


def test_help_is_quick_and_imports_no_library() -> None:
    """`train --help` must not wait a quarter of a minute for what it does not need."""
    heavy = "agentlightning,pydantic,torch,transformers,langchain_core,langgraph,jinja2"
    command = [sys.executable, LIST_MODULES, heavy, "lit_sql_trainer.commands.train:train_main", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Example: train tiny" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [[], ["profiles"], ["settings", "tiny"]])
def test_the_group_says_what_there_is(command: list[str]) -> None:
    """Commands, profiles and settings can all be listed."""
    result = CliRunner().invoke(main, [*command, *([] if command else ["--help"])])
    assert result.exit_code == 0, result.output
    assert {"": "curves", "profiles": "tiny", "settings": "grpo.steps="}[command[0] if command else ""] in result.output


def test_every_command_of_the_group_can_be_imported() -> None:
    """A name in the list leads to a command, with help of its own."""
    context = main.make_context("lit-sql", [], resilient_parsing=True)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        assert command.help


def test_an_unknown_profile_is_named_with_those_that_exist() -> None:
    """Only profiles that work are offered."""
    assert refused(train("qwem")) == f"Error: unknown profile 'qwem'; profiles: {', '.join(PROFILES)}"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_profile_survives_its_own_settings(profile: Profile) -> None:
    """What `lit-sql settings` prints gives the same profile back, and so does a run's config.json."""
    printed = CliRunner().invoke(main, ["settings", profile.name]).output.splitlines()
    assert apply_assignments(profile, printed) == profile
    assert from_plain(Profile, to_plain(profile)) == profile


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("lerning_rate=1", "did you mean grpo.learning_rate"),
        ("steps=many", "grpo.steps='many': expected a whole number"),
        ("rollout.max_turns=0", "--set rollout.max_turns=0: expected a whole number of at least 1"),
        ("rollout.check=maybe", "expected one of llm, rules, both, none"),
        ("active_agent=(", "is no regular expression"),
        ("runners=0", "--set runners=0: expected a whole number of at least 1"),
        ("rollout.deadline_s=900", "given up after grpo.rollout_timeout_s"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(setting: str, told: str) -> None:
    """Before anything is read, built or imported."""
    assert told in refused(train("tiny", "--set", setting))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """A key, a text and two values, each under the name that --set knows; not whether wrong values fit together."""
    wrong = ("lerning_rate=1", "steps=many", "runners=0", "rollout.deadline_s=-1")
    line = refused(train("tiny", *[word for setting in wrong for word in ("--set", setting)]))
    for said in (
        "unknown setting 'lerning_rate'; did you mean grpo.learning_rate",
        "--set grpo.steps='many': expected a whole number",
        "--set runners=0: expected a whole number of at least 1",
        "--set rollout.deadline_s=-1.0: expected a number above 0",
    ):
        assert said in line
    assert "given up after" not in line


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_setting_is_explained_in_one_line(profile: Profile) -> None:
    """`lit-sql settings` says behind each value what it is."""
    lines = CliRunner().invoke(main, ["settings", profile.name]).output.splitlines()
    assert len(lines) == len(assignments(profile))
    for line, bare in zip(lines, assignments(profile), strict=True):
        value, _, about = line.partition("  # ")
        assert value == bare
        assert len(about) > 5, line


def test_the_schema_of_the_settings_can_be_read_by_programs() -> None:
    """Types, bounds, defaults and meanings, as JSON."""
    schema = json.loads(CliRunner().invoke(main, ["settings", "tiny", "--json-schema"]).output)
    steps = schema["$defs"]["GrpoSettings"]["properties"]["steps"]
    assert (steps["type"], steps["minimum"], steps["default"]) == ("integer", 0, 40)
    assert steps["description"].startswith("Number of updates of the policy")
    assert schema["properties"]["runners"]["minimum"] == 1


def test_a_data_folder_without_parquet_is_refused(tmp_path: Path, random_model: Path) -> None:
    """The missing file is named."""
    assert "has no train.parquet" in refused(train("tiny", "--data", tmp_path, "--model", random_model))


def test_parquet_without_its_databases_is_refused(own_data: Path, random_model: Path) -> None:
    """The missing databases are named."""
    shutil.rmtree(own_data / "database")
    assert "shop" in refused(train("tiny", "--data", own_data, "--model", random_model))


def test_a_model_without_tokenizer_is_refused(toy_data: Path, random_model: Path, tmp_path: Path) -> None:
    """What is missing is named, before torch is imported."""
    folder = tmp_path / "model"
    shutil.copytree(random_model, folder)
    (folder / "tokenizer.json").unlink()
    assert "lacks a tokenizer" in refused(train("tiny", "--data", toy_data, "--model", folder))


def test_a_port_in_use_is_refused(toy_data: Path, random_model: Path) -> None:
    """Before the run folder is made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in refused(
            train("tiny", "--data", toy_data, "--model", random_model, "--port", port, "--runs", "/nonexistent")
        )


def test_a_run_of_another_profile_is_not_resumed(tmp_path: Path) -> None:
    """The message holds the command that would resume it."""
    create_run(tmp_path, profile="other", config={"name": "other"}, name="r1")
    line = refused(train("tiny", "--resume", "r1", "--runs", tmp_path))
    assert "was started with profile 'other', not 'tiny'" in line
    assert "train other --resume r1" in line


def test_a_run_that_is_not_there_is_not_resumed(tmp_path: Path) -> None:
    """Those that are there are named."""
    assert "no run 'r9'" in refused(train("tiny", "--resume", "r9", "--runs", tmp_path))


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    """Settings beside --resume would make it another run."""
    assert "leave out --set" in refused(train("tiny", "--resume", "r1", "--set", "steps=9", "--runs", tmp_path))


def test_a_run_folder_that_cannot_be_made_is_refused(toy_data: Path, random_model: Path, tmp_path: Path) -> None:
    """A file in the way is named."""
    (tmp_path / "runs").write_text("")
    line = refused(train("tiny", "--data", toy_data, "--model", random_model, "--runs", tmp_path / "runs"))
    assert "cannot make run folder" in line


def test_curves_of_a_run_without_metrics(tmp_path: Path) -> None:
    """There is nothing to draw yet, and that is said."""
    run = create_run(tmp_path, profile="tiny", config={"name": "tiny"})
    result = CliRunner().invoke(main, ["curves", str(run.path)])
    assert "has no metrics yet" in refused(result)
