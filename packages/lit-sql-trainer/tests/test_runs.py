"""A run folder is whole at every moment, whoever writes to it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
from pathlib import Path

import pytest

from lit_sql_trainer.errors import RunError
from lit_sql_trainer.runs import RunFolder, append_line, create_run, open_run, read_lines, write_json


def _append_many(path: Path, writer: int, lines: int) -> None:
    for number in range(lines):
        append_line(path, {"writer": writer, "number": number, "text": "é" * (37 * number % 9000)})


def test_two_processes_append_whole_lines(tmp_path: Path) -> None:
    """Lines of several processes never mix, whatever their length, and each writer's stay in order."""
    file = tmp_path / "rollouts.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(file, writer, 400)) for writer in range(2)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    records = list(read_lines(file))
    assert len(records) == 800
    for writer in range(2):
        assert [r["number"] for r in records if r["writer"] == writer] == list(range(400))


def test_an_unfinished_last_line_is_not_read(tmp_path: Path) -> None:
    """A reader that comes while a line is written, or after a crash, sees the lines before it."""
    file = tmp_path / "metrics.jsonl"
    append_line(file, {"step": 1})
    with file.open("a") as half:
        half.write('{"step": 2, "rew')
    assert list(read_lines(file)) == [{"step": 1}]


@pytest.mark.parametrize(
    "torn",
    [b'{"step": 2, "rew', b"\x00" * 5000, b'{"name": "\xc3', b'{"step": 2}', b"[" * 9000],
    ids=["half a record", "zeros after a crash", "half a character", "no line end", "long rubbish"],
)
def test_a_torn_line_is_mended(tmp_path: Path, torn: bytes) -> None:
    """Half a line at the end is left out by readers and cut off by the next writer; whole lines stay."""
    file = tmp_path / "metrics.jsonl"
    append_line(file, {"step": 1})
    with file.open("ab") as half:
        half.write(torn)
    assert list(read_lines(file)) == [{"step": 1}]
    append_line(file, {"step": 3})
    assert file.read_bytes() == b'{"step":1}\n{"step":3}\n'


@pytest.mark.parametrize("rubbish", [b'{"a":1,"b{"c":2}\n', b"\xff\xfe\n", b"[1]\n", b"\n", b"{" * 100_000 + b"\n"])
def test_a_line_that_is_no_record_is_left_out(tmp_path: Path, rubbish: bytes) -> None:
    """Lines that another program or a broken disk left between ours do not end a resume."""
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step":1}\n' + rubbish + b'{"step":2}\n')
    assert list(read_lines(file)) == [{"step": 1}, {"step": 2}]


def _append_within(limit: int, file: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        append_line(file, {"text": "x" * 400})
    except OSError as error:
        os._exit(error.errno if str(file) in str(error) else 1)
    os._exit(0)


def test_what_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    """A full disk costs the line that was being written and no other; the error names the file."""
    file = tmp_path / "metrics.jsonl"
    append_line(file, {"step": 1})
    writer = multiprocessing.get_context("fork").Process(target=_append_within, args=(200, file))
    writer.start()
    writer.join(60)
    assert writer.exitcode == errno.EFBIG
    assert file.read_bytes() == b'{"step":1}\n'


def test_lone_surrogates_are_written(tmp_path: Path) -> None:
    """A reply may hold half a character; its line is whole all the same."""
    append_line(tmp_path / "rollouts.jsonl", {"sql": "SELECT '\ud83d'"})
    assert list(read_lines(tmp_path / "rollouts.jsonl")) == [{"sql": "SELECT '?'"}]


def _train_in(run: RunFolder) -> None:
    with run.locked():
        os._exit(0)


def test_one_process_trains_in_a_folder(tmp_path: Path) -> None:
    """A second one is refused with the folder's name; the lock of a process that was killed does not count."""
    run = create_run(tmp_path, profile="tiny", config={}, name="one")
    killed = multiprocessing.get_context("fork").Process(target=_train_in, args=(run,))
    killed.start()
    killed.join(60)
    assert killed.exitcode == 0
    with run.locked(), pytest.raises(RunError, match=r"another process is training in .*one"), run.locked():
        pass
    with run.locked():
        pass


def test_a_new_run_has_its_settings_and_its_surroundings(tmp_path: Path) -> None:
    """The folder's name starts with the profile; config and environment are there from the start."""
    run = create_run(tmp_path, profile="tiny", config={"name": "tiny", "seed": 3})
    assert run.name.startswith("tiny-20")
    assert run.config() == {"name": "tiny", "seed": 3}
    surroundings = json.loads((run.path / "environment.json").read_text())
    assert surroundings["versions"]["agentlightning"] == "0.3.0"
    assert surroundings["cpus"] == os.cpu_count()
    assert run.checkpoints.is_dir()


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    """Runs begun in the same second get different names; a name that was asked for is not changed silently."""
    names = {create_run(tmp_path, profile="tiny", config={}).name for _ in range(3)}
    assert len(names) == 3
    create_run(tmp_path, profile="tiny", config={}, name="mine")
    with pytest.raises(RunError, match="mine"):
        create_run(tmp_path, profile="tiny", config={}, name="mine")


def test_a_run_is_found_by_name_or_path(tmp_path: Path) -> None:
    """Both ways lead to the same run; what is not there is named with what is."""
    run = create_run(tmp_path, profile="tiny", config={}, name="one")
    assert open_run("one", root=tmp_path).path == run.path
    assert open_run(run.path, root=Path("elsewhere")).path == run.path
    with pytest.raises(RunError, match=r"no run 'two'.*runs there: one"):
        open_run("two", root=tmp_path)
    with pytest.raises(RunError, match="there are no runs there"):
        open_run("two", root=tmp_path / "nowhere")


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    """A run whose config.json is cut cannot be resumed, and says which file it is."""
    run = create_run(tmp_path, profile="tiny", config={})
    run.config_file.write_text("{")
    with pytest.raises(RunError, match=r"config\.json"):
        run.config()


def test_a_resumed_run_forgets_the_steps_it_will_do_again(tmp_path: Path) -> None:
    """After a resume from step 2 there is one line per step, not two."""
    run = create_run(tmp_path, profile="tiny", config={})
    for step in range(1, 5):
        append_line(run.metrics_file, {"step": step})
        append_line(run.rollouts_file, {"step": step, "sql": ["SELECT 'é'"]})
    run.forget_after(2)
    assert [line["step"] for line in run.metrics()] == [1, 2]
    assert [line["step"] for line in read_lines(run.rollouts_file)] == [1, 2]


def test_a_file_is_replaced_in_one_move(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When writing fails half-way, the old text is still there."""
    file = tmp_path / "config.json"
    write_json(file, {"old": True})

    def full(self: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_json(file, {"new": True})
    monkeypatch.undo()
    assert json.loads(file.read_text()) == {"old": True}
