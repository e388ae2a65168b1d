"""The commands as a user meets them: exit codes, the last line, files, interruption."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sql_reward.cli import main

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
GOLD = """\
SELECT name FROM singer\tsingers
SELECT name FROM singer WHERE age > 26\tsingers
SELECT kind FROM tree\ttrees
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def last_line(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout.rstrip("\n").rpartition("\n")[2])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Three golds; a right prediction, an empty line, a wrong prediction with something behind a tab."""
    gold, pred = tmp_path / "gold.sql", tmp_path / "pred.sql"
    gold.write_text(GOLD)
    pred.write_text("select name from singer\n\nSELECT height FROM tree\tignored\n")
    return gold, pred


def write_pairs(path: Path, *predictions: str | None, gold: str = "SELECT name FROM singer") -> Path:
    rows = [
        {"id": f"q{number}", "db_id": "singers", "gold": gold, "pred": text} for number, text in enumerate(predictions)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_score(db_root: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    """Prints a table by hardness, or one line of JSON with --json, and writes a verdict per line of the predictions."""
    out = tmp_path / "verdicts.jsonl"
    arguments = ("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--etype", "all", "--out", out)
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert "execution accuracy" in result.stdout
    assert "exact match accuracy" in result.stdout
    assert "{" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    result = run(*arguments, "--json")
    assert result.stdout.count("\n") == 1
    summary = last_line(result)
    assert summary["counts"] == {"easy": 3, "all": 3}
    assert summary["execution"]["all"]["matched"] == summary["exact_match"]["all"]["matched"] == 1
    assert summary["outcomes"] == {"match": 1, "no_sql": 1, "mismatch": 1}
    records = lines(out)
    assert [(record["id"], record["outcome"], record["exact_match"]) for record in records] == [
        (1, "match", True),
        (2, "no_sql", False),
        (3, "mismatch", False),
    ]


def test_score_can_print_json_only(db_root: Path, files: tuple[Path, Path]) -> None:
    """With --json standard output is one line; --etype match runs nothing."""
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--etype", "match", "--json")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    summary = last_line(result)
    assert summary["execution"] == {}
    assert summary["outcomes"] == {}
    assert summary["exact_match_accuracy"] == pytest.approx(1 / 3)


def test_score_takes_the_official_flags(db_root: Path, files: tuple[Path, Path]) -> None:
    """The flags of evaluation.py work as they are written there."""
    flags = ["--plug_value", "--keep_distinct", "--progress_bar_for_each_datapoint"]
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--etype", "exec", *flags)
    assert result.exit_code == 0, result.output


def test_score_refuses_files_of_unequal_length(db_root: Path, files: tuple[Path, Path]) -> None:
    """Both lengths are told, and nothing is scored."""
    files[1].write_text("SELECT 1\n")
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root)
    assert result.exit_code == 2
    assert "has 1 lines" in result.stderr
    assert "has 3;" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("flag", ["--table", "--gold", "--db"])
def test_bad_input_is_told_in_one_line(db_root: Path, files: tuple[Path, Path], flag: str) -> None:
    """A file of another kind ends the command with exit code 2 and no traceback."""
    arguments: dict[str, object] = {"--gold": files[0], "--pred": files[1], "--db": db_root}
    result = run("score", *(part for pair in (arguments | {flag: files[1]}).items() for part in pair))
    assert result.exit_code == 2
    assert "Error" in result.stderr
    assert "Traceback" not in result.output


def test_score_tells_what_it_could_not_judge(db_root: Path, files: tuple[Path, Path]) -> None:
    """A gold that fails is neither right nor wrong; the exit code says that something is missing."""
    files[0].write_text(GOLD.replace("age > 26", "wage > 26"))
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--json")
    assert result.exit_code == 1
    assert "1 of 3 pairs could not be judged" in result.stderr
    summary = last_line(result)
    assert summary["not_judged"] == 1
    assert summary["execution"]["all"]["count"] == 2


def test_judge(db_root: Path, tmp_path: Path) -> None:
    """Writes the five fields for each pair, in order, and null with an error where there is no verdict."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", "SELECT name FROM singer", "SELECT 1", None, "DROP TABLE singer")
    with pairs.open("a") as file:
        file.write(
            'no json\n{"id": "short"}\n{"id": "far", "db_id": "nowhere", "gold": "SELECT 1", "pred": "SELECT 1"}\n'
        )
    out = tmp_path / "verdicts.jsonl"
    result = run("judge", "--pairs", pairs, "--db-root", db_root, "--out", out)
    assert result.exit_code == 1
    records = lines(out)
    assert [(record["id"], record["outcome"], record["matched"]) for record in records] == [
        ("q0", "match", True),
        ("q1", "mismatch", False),
        ("q2", "no_sql", False),
        ("q3", "forbidden", False),
        (None, None, False),
        ("short", None, False),
        ("far", None, False),
    ]
    assert all(list(record)[:5] == ["id", "outcome", "matched", "seconds", "detail"] for record in records)
    assert [bool(record.get("error")) for record in records] == [False] * 4 + [True] * 3
    summary = last_line(result)
    assert (summary["pairs"], summary["matched"], summary["not_judged"]) == (7, 1, 3)


def test_judge_of_nothing(db_root: Path, tmp_path: Path) -> None:
    """No pairs, no verdicts, no trouble."""
    out = tmp_path / "verdicts.jsonl"
    assert (
        run("judge", "--pairs", write_pairs(tmp_path / "pairs.jsonl"), "--db-root", db_root, "--out", out).exit_code
        == 0
    )
    assert out.read_text() == ""


def test_judge_options(db_root: Path, tmp_path: Path) -> None:
    """The deadline and DISTINCT are taken as given."""
    pairs = write_pairs(
        tmp_path / "pairs.jsonl", ENDLESS, "SELECT country FROM singer", gold="SELECT DISTINCT country FROM singer"
    )
    out = tmp_path / "verdicts.jsonl"
    common = ("judge", "--pairs", pairs, "--db-root", db_root, "--out", out, "--deadline", "0.2", "--jobs", "1")
    assert run(*common, "--keep-distinct").exit_code == 0
    timeout, mismatch = lines(out)
    assert (timeout["outcome"], mismatch["outcome"]) == ("timeout", "mismatch")
    assert run(*common, "--rules", "official").exit_code == 0
    assert lines(out)[1]["outcome"] == "match"
    assert run(*common, "--rules", "guess").exit_code == 2


def test_an_input_is_never_overwritten(db_root: Path, tmp_path: Path) -> None:
    """--out may not be the file of pairs."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", "SELECT 1")
    before = pairs.read_text()
    result = run("judge", "--pairs", pairs, "--db-root", db_root, "--out", pairs)
    assert (result.exit_code, pairs.read_text()) == (2, before)
    assert "write to another one" in result.stderr


def write_verdicts(path: Path, verdicts: dict[object, bool | None]) -> Path:
    rows = [
        {
            "id": key,
            "outcome": None if matched is None else "match" if matched else "mismatch",
            "matched": bool(matched),
        }
        for key, matched in verdicts.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_compare(tmp_path: Path) -> None:
    """Questions are paired by id, whatever their order; won and lost are listed."""
    first = write_verdicts(tmp_path / "first.jsonl", {1: True, 2: False, 3: False, "1": True, 4: False, 5: False})
    second = write_verdicts(tmp_path / "second.jsonl", {5: True, "1": False, 4: False, 3: True, 2: True, 1: True})
    result = run("compare", first, second)
    assert result.exit_code == 0, result.output
    summary = last_line(result)
    assert (summary["won"], summary["lost"], summary["both"], summary["neither"]) == ([2, 3, 5], ["1"], 1, 1)
    assert summary["difference"] == pytest.approx(2 / 6)
    assert summary["p_value"] == pytest.approx(0.625)
    assert summary["low"] < 2 / 6 < summary["high"]
    assert "won 3: 2, 3, 5" in result.stdout


def test_compare_leaves_out_what_has_no_verdict(tmp_path: Path) -> None:
    """A question without a verdict is not a lost one."""
    first = write_verdicts(tmp_path / "first.jsonl", {1: True, 2: True})
    second = write_verdicts(tmp_path / "second.jsonl", {1: True, 2: None})
    result = run("compare", first, second)
    assert result.exit_code == 1
    assert last_line(result)["not_judged"] == [2]
    assert last_line(result)["questions"] == 1


def test_compare_refuses_other_questions(tmp_path: Path) -> None:
    """Files with different questions are refused, with the ids that differ."""
    first = write_verdicts(tmp_path / "first.jsonl", {1: True, 2: True})
    second = write_verdicts(tmp_path / "second.jsonl", dict.fromkeys([1, *range(10, 20)], True))
    result = run("compare", first, second)
    assert result.exit_code == 2
    assert "2 only in" in result.stderr
    assert "10, 11, 12, 13, 14 and 5 more only in" in result.stderr


@pytest.mark.parametrize(
    "content", ["nothing\n", '{"id": 1}\n', "[]\n", '{"id": 1, "outcome": "match", "matched": true}\n' * 2]
)
def test_compare_refuses_other_files(tmp_path: Path, content: str) -> None:
    """What is no file of verdicts, or repeats a question, is refused with its line."""
    good = write_verdicts(tmp_path / "good.jsonl", {1: True})
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    result = run("compare", good, bad)
    assert result.exit_code == 2
    assert "bad.jsonl" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_whole_lines(
    db_root: Path, tmp_path: Path, python: str, number: signal.Signals
) -> None:
    """Interrupting writes what is known, says so, ends every process, and exits with 128 plus the signal."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", *["SELECT name FROM singer"] * 50, *[ENDLESS] * 50)
    out = tmp_path / "verdicts.jsonl"
    command = [python, "-m", "sql_reward", "judge", "--pairs", pairs, "--db-root", db_root, "--out", out]
    options = ["--deadline", "60", "--jobs", "2"]
    process = subprocess.Popen(
        [*map(str, command), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 60
    while process.poll() is None and not (out.exists() and len(out.read_text().splitlines()) >= 50):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal does: to all processes of the group
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert "interrupted: 50 of 100 pairs were judged" in stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout.splitlines()[-1])["interrupted"] is True
    assert [record["outcome"] for record in lines(out)] == ["match"] * 50
    assert gone(process.pid, within_s=10)


def gone(group: int, *, within_s: float) -> bool:
    """Whether no process of the group is left, now or soon."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("command", ["score", "judge", "compare"])
def test_help_has_an_example(command: str) -> None:
    """Each command shows one line to start from."""
    assert f"Example: sql-reward {command} " in " ".join(run(command, "--help").stdout.split())


def test_importing_the_package_is_light(python: str) -> None:
    """The package imports neither the command line's libraries nor the SQL parser."""
    command = [python, str(PROGRAMS / "light_import.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PROGRAMS = Path(__file__).parents[1] / "programs"


def run_limited(python: str, file_bytes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that may write files of this size only, as on a disk that gets full."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    command = [python, "-m", "sql_reward", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False, timeout=120)


@pytest.mark.parametrize("file_bytes", [0, 100, 1000])
def test_a_full_disk_leaves_whole_lines(db_root: Path, tmp_path: Path, python: str, file_bytes: int) -> None:
    """A disk that gets full ends `judge` with one line, a file of whole lines, and an exit code that is not 0."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", *["SELECT name FROM singer"] * 30)
    out = tmp_path / "verdicts.jsonl"
    done = run_limited(python, file_bytes, "judge", "--pairs", pairs, "--db-root", db_root, "--out", out, "--jobs", 1)
    assert done.returncode == 2
    assert (done.stderr.count("\n"), done.stdout) == (1, "")
    assert "cannot write" in done.stderr
    assert str(out) in done.stderr
    written = out.read_text()
    assert written == "" or written.endswith("\n")
    assert len(written) > file_bytes - 200
    assert all(record["outcome"] == "match" for record in lines(out))


def test_a_full_disk_under_score(db_root: Path, files: tuple[Path, Path], tmp_path: Path, python: str) -> None:
    """`score --out` on a full disk says so and gives no figures."""
    out = tmp_path / "verdicts.jsonl"
    done = run_limited(python, 10, "score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--out", out)
    assert (done.returncode, done.stdout, out.read_text()) == (2, "", "")
    assert "cannot write" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_standard_output_on_a_full_disk(db_root: Path, files: tuple[Path, Path], python: str, extra: list[str]) -> None:
    """Figures that cannot be printed are no success, and cost one line."""
    command = [python, "-m", "sql_reward", "score", "--gold", files[0], "--pred", files[1], "--db", db_root, *extra]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(list(map(str, command)), stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    note, error = done.stderr.splitlines()
    assert note.startswith("Note: ")
    assert error == "Error: cannot write to standard output: No space left on device; make room"


def test_a_folder_that_cannot_be_written(db_root: Path, files: tuple[Path, Path], tmp_path: Path) -> None:
    """An output in a folder that is not there is named before any work."""
    out = tmp_path / "absent" / "verdicts.jsonl"
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--out", out)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "folder that can be written" in result.stderr


@pytest.mark.parametrize("below", ["", "singers", "trees"])
def test_the_wrong_folder_of_databases(db_root: Path, files: tuple[Path, Path], tmp_path: Path, below: str) -> None:
    """A folder above or below the right one is refused, and the right one is named."""
    if below:
        given = db_root / below
        right = db_root
    else:
        given = tmp_path / "data"
        right = given / "spider" / "database"
        right.parent.mkdir(parents=True)
        right.symlink_to(db_root)
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"give {str(right)!r}" in result.stderr


def test_a_folder_without_these_databases(db_root: Path, tmp_path: Path) -> None:
    """Without any such folder near, the form of one is told; `judge` notes it and still answers each row."""
    pairs = write_pairs(tmp_path / "pairs.jsonl", "SELECT 1")
    (tmp_path / "empty" / "deep" / "down").mkdir(parents=True)
    out = tmp_path / "verdicts.jsonl"
    result = run("judge", "--pairs", pairs, "--db-root", tmp_path / "empty" / "deep" / "down", "--out", out)
    assert result.exit_code == 1
    assert "give the folder of singers/singers.sqlite" in result.stderr
    assert lines(out)[0]["outcome"] is None


def test_predictions_of_bird_are_scored(db_root: Path, files: tuple[Path, Path]) -> None:
    """BIRD's JSON of predictions gives figures, and a note says how it was read."""
    texts = ["select name from singer", "SELECT name FROM singer WHERE age > 26", "SELECT\tkind\tFROM\ttree"]
    ids = ["singers", "singers", "trees"]
    rows = {str(n): f"{sql}\t----- bird -----\t{ids[n]}" for n, sql in enumerate(texts)}
    files[1].write_text(json.dumps(rows))
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--rules", "bird", "--json")
    assert result.exit_code == 0, result.output
    assert last_line(result)["execution_accuracy"] == 1.0
    assert "is read as JSON with 3 queries" in result.stderr


@pytest.mark.parametrize("deadline", ["nan", "inf", "0", "-1", "soon"])
def test_a_deadline_that_is_none(db_root: Path, files: tuple[Path, Path], deadline: str) -> None:
    """What is no number of seconds is refused by the option's name."""
    result = run("score", "--gold", files[0], "--pred", files[1], "--db", db_root, "--deadline", deadline)
    assert result.exit_code == 2
    assert "--deadline" in result.stderr
    assert "deadline_s" not in result.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "gbk", "utf-16"])
def test_output_to_any_encoding(tmp_path: Path, python: str, encoding: str) -> None:
    """Characters that the stream cannot write are replaced, in help, tables and messages alike."""
    first = write_verdicts(tmp_path / "first.jsonl", {"张三": True, 2: True})
    second = write_verdicts(tmp_path / "zweite ✓.jsonl", {"张三": True, 2: False})
    other = write_verdicts(tmp_path / "other ✓.jsonl", {"Zoë": True})
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for arguments, code in ((["--help"], 0), (["compare", first, second], 0), (["compare", first, other], 2)):
        command = [python, "-m", "sql_reward", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr


def test_an_interrupt_while_libraries_load(python: str) -> None:
    """Ctrl-C before the first line of work ends the command with 130 and no traceback."""
    command = [python, str(PROGRAMS / "interrupted_start.py"), "compare", "a", "b"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")
