"""What stands in a report, whoever wrote the run, whenever it was cut off."""

from __future__ import annotations

import html
import html.parser
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from lit_sql_trainer.cli import main
from lit_sql_trainer.errors import ConfigError, RunError
from lit_sql_trainer.report import MAX_RUNS, write_curves, write_report
from lit_sql_trainer.report.data import merge, read_run, thin
from lit_sql_trainer.runs import RunFolder, append_line

LOADING = ("src", "href", "action", "srcset", "poster", "data", "xlink:href")
SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "input", "br", "hr", "img", "link"}


class Page(html.parser.HTMLParser):
    """What a browser would see: elements with their attributes, texts, and whether everything is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def having(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of this name."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        """All that can be read."""
        return re.sub(r"\s+", " ", " ".join(self.texts))


def report_of(out: Path, *runs: RunFolder) -> str:
    return write_report(runs, out / "report.html").read_text()


@pytest.fixture(scope="module")
def short(short_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the short run."""
    return report_of(tmp_path_factory.mktemp("short"), short_run)


def test_every_part_is_there(short: str) -> None:
    """Curves, mixes, policy, drops, timings, monitors, rollouts and settings, in well-formed HTML."""
    page = Page(short)
    assert page.open == []
    titles = [text for text in page.texts if text]
    for title in (
        "Reward", "Outcomes in training", "Outcomes in validation", "Turns of a training rollout",
        "Tokens of a trained reply", "Entropy of the policy", "Groups without variance", "Dropped rollouts",
        "Seconds of a step", "Alarms", "Before and after", "Configuration", "Environment", "torch version",
    ):  # fmt: skip
        assert title in titles, title
    assert "validation falls" in page.text
    assert "Divergence from the start" not in page.text  # it was not measured, so there is no chart of zeros
    assert "0 at every step: Answers that are SELECT *; Answers that read no table" in page.text


def test_every_chart_has_words_and_its_numbers(short: str) -> None:
    """Title and description for those who cannot see it, and a table with a row for each point."""
    page = Page(short)
    pictures = [svg for svg in page.having("svg") if svg.get("role") == "img"]
    assert len(pictures) >= 10
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for svg in pictures:
        assert set(str(svg["aria-labelledby"]).split()) <= set(ids)
    assert "validation: from 0." in page.text
    assert short.count('<table class="data">') == len(pictures)


def test_the_numbers_are_those_of_the_run(short: str, short_run: RunFolder) -> None:
    """The first validation's reward and interval stand on the card and in the table."""
    first = next(line for line in short_run.metrics() if line["event"] == "validation")
    low = first["reward"] - 1.959964 * first["standard_error"]
    assert f"{first['reward']:.3f}" in short
    assert f"{low:.3f}–" in short
    entropy = next(line for line in short_run.metrics() if line["event"] == "step" and line["step"] == 30)["entropy"]
    assert f'<th scope="row">30</th><td>{entropy:.3g}</td>' in short


def test_untrusted_text_stays_text(short: str, hostile: str) -> None:
    """A question, a path or an error that holds markup is shown as it is, and makes no element."""
    page = Page(short)
    assert page.text.count(hostile) > 10
    assert len(page.having("script")) == 1
    assert "<b> ORDER" not in short
    policy = next(str(meta["content"]) for meta in page.having("meta") if "http-equiv" in meta)
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_it_asks_nothing_of_a_network(short: str) -> None:
    """No element loads anything, no style imports anything, and the policy forbids every request."""
    page = Page(short)
    for tag, attributes in page.elements:
        for name in set(attributes) & set(LOADING):
            assert str(attributes[name]).startswith("#"), f"<{tag} {name}={attributes[name]!r}>"
    assert not re.search(r"url\(|@import|https?://", short)
    policy = next(str(meta["content"]) for meta in page.having("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")


def test_a_long_run_stays_small(long_run: RunFolder, tmp_path: Path) -> None:
    """Five hundred steps are below 5 MB by far, and the last step is among the points."""
    text = report_of(tmp_path, long_run)
    assert len(text.encode()) < 600_000
    assert '<th scope="row">500</th>' in text


def test_several_runs_are_overlaid(short_run: RunFolder, long_run: RunFolder, tmp_path: Path) -> None:
    """One line a run, a legend with a box for each, stacks side by side, and what differs in their settings."""
    text = report_of(tmp_path, short_run, long_run)
    page = Page(text)
    assert [box["data-run"] for box in page.having("input") if box.get("type") == "checkbox"] == ["0", "1"]
    reward = text[text.index("<figcaption>Validation reward") : text.index("<figcaption>Training reward")]
    assert 'class="run0 marks"' in reward
    assert 'class="run1 marks"' in reward
    assert "Outcomes in training, run B" in page.text
    assert re.search(r"What differs.*grpo\.steps 60 500", page.text)
    with pytest.raises(ConfigError, match=f"1 to {MAX_RUNS}"):
        write_report([short_run] * (MAX_RUNS + 1), tmp_path / "many.html")
    assert len(report_of(tmp_path, *[long_run] * MAX_RUNS).encode()) < 5_000_000


def test_rollouts_before_and_after_are_those_of_the_same_task(short_run: RunFolder, short: str) -> None:
    """Won and lost are counted over all tasks; the way through the graph is shown for a few."""
    records = [json.loads(line) for line in short_run.rollouts_file.read_text().splitlines()]
    data = read_run(short_run, points=50, examples=12)
    examples = data.examples
    assert examples.before_step == 0
    assert data.best is not None
    assert examples.after_step == data.best["step"]

    def right(step: int | None) -> set[str]:
        return {r["task_id"] for r in records if r["mode"] == "val" and r["step"] == step and r["outcome"] == "match"}

    assert examples.comparison is not None
    assert examples.comparison.only_second == len(right(examples.after_step) - right(0)) == examples.counts["won"]
    assert 0 < len(examples.shown) <= 12
    for example in examples.shown:
        assert example.before["task_id"] == example.after["task_id"]
    page = Page(short)
    for part in ("After step 0", "write", "execute", "check", "rewrite", "end", "It failed."):
        assert part in page.texts or part in page.text, part


def test_why_rollouts_were_dropped(short: str, hostile: str) -> None:
    """Each reason with its count."""
    assert f"8 endpoint answered 500 {hostile}" in Page(short).text


def test_a_run_that_was_cut_off_can_be_read(short_run: RunFolder, tmp_path: Path) -> None:
    """Half a last line is left out, and the report says that no end was recorded; after the end, it says which."""
    run = RunFolder(path=shutil.copytree(short_run.path, tmp_path / "cut"))
    with run.metrics_file.open("a") as half:
        half.write('{"event": "step", "step": 61, "rew')
    with run.rollouts_file.open("a") as half:
        half.write('{"task_id": "val-0001", "mode": "val", "ste')
    assert "was killed after step 60" in report_of(tmp_path, run)
    whole = run.metrics_file.read_text().rpartition("\n")[0]
    run.metrics_file.write_text(whole + "\n")
    append_line(run.metrics_file, {"event": "end", "step": 60, "reason": "all steps done"})
    text = report_of(tmp_path, run)
    assert "all steps done" in text
    assert "grows with the run" not in text


def test_alarms_are_told(short_run: RunFolder, tmp_path: Path) -> None:
    """Recorded alarms as they were recorded; of a run from before there were any, those that its lines would raise."""
    run = RunFolder(path=shutil.copytree(short_run.path, tmp_path / "alarmed"))
    assert "No alarm was raised." in report_of(tmp_path, run)
    lines = [line | {"zero_variance_share": 1.0} if line["event"] == "step" else line for line in run.metrics()]
    run.metrics_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert "step 10, zero variance : 100% of the groups have no variance" in Page(report_of(tmp_path, run)).text
    append_line(run.metrics_file, {"event": "alarm", "step": 9, "monitor": "kl", "text": "far <away>"})
    text = report_of(tmp_path, run)
    assert "step 9, kl</strong>: far &lt;away&gt;" in text
    assert "step 10, zero" not in text


def test_a_run_that_only_validated_has_a_report(tmp_path: Path, short_run: RunFolder) -> None:
    """With `steps=0` there is one validation and nothing to compare it with; without environment it can be read too."""
    run = RunFolder(path=tmp_path / "validated")
    run.path.mkdir()
    shutil.copy(short_run.config_file, run.config_file)
    with pytest.raises(RunError, match="has no metrics yet"):
        write_report([run], tmp_path / "none.html")
    append_line(run.metrics_file, next(line for line in short_run.metrics() if line["event"] == "validation"))
    text = report_of(tmp_path, run)
    assert "a comparison needs two validations" in text
    assert Page(text).open == []


def test_a_damaged_line_is_named(short_run: RunFolder, tmp_path: Path) -> None:
    """Not the last, which may be half written, but one in the middle."""
    run = RunFolder(path=shutil.copytree(short_run.path, tmp_path / "damaged"))
    run.metrics_file.write_text('{"event": \n' + run.metrics_file.read_text())
    with pytest.raises(RunError, match="damaged"):
        write_report([run], tmp_path / "none.html")


def test_thinned_steps_add_up() -> None:
    """Neighbours are merged: counts add up, means stay means, and what a step did not measure does not count."""
    lines = [
        {"step": step, "reward": step / 10, "outcomes": {"match": step}, "dropped": 1, "entropy": 0.5 * (step % 2),
         "trained_tokens": step % 2, "seconds": 2.0, "reward_std": 0.4, "groups": 4}
        for step in range(1, 11)
    ]  # fmt: skip
    merged = thin(lines, 5)
    assert [line["step"] for line in merged] == [2, 4, 6, 8, 10]
    assert sum(line["outcomes"]["match"] for line in merged) == sum(range(11))
    assert merged[0]["reward"] == pytest.approx(0.15)
    assert merged[0]["dropped"] == 2
    assert merged[0]["entropy"] == 0.5
    assert merged[0]["reward_error"] == pytest.approx(0.2 / 2**0.5)
    assert len(thin(lines, 100)) == 10
    assert merge(lines[:1])["reward"] == 0.1


def test_the_command_writes_where_it_is_told(short_run: RunFolder, tmp_path: Path) -> None:
    """By name or path; the file's path is the only output."""
    out = tmp_path / "out.html"
    done = CliRunner().invoke(main, ["report", short_run.name, "--runs", str(short_run.path.parent), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(out)
    assert out.read_text().startswith("<!DOCTYPE html>")
    lost = CliRunner().invoke(main, ["report", "nobody", "--runs", str(tmp_path)])
    assert lost.exit_code == 2
    assert "no run 'nobody'" in lost.output
    nowhere = CliRunner().invoke(main, ["report", str(short_run.path), "--out", str(tmp_path / "no" / "dir.html")])
    assert nowhere.exit_code == 2
    assert "choose another file with --out" in nowhere.output


def test_more_runs_than_can_be_told_apart(short_run: RunFolder, tmp_path: Path) -> None:
    """The first eight that can be shown are; each of the others is named."""
    runs = tmp_path / "runs"
    (runs / "c").mkdir(parents=True)
    for name in "abdefghijk":
        (runs / name).symlink_to(short_run.path)
    words = [*(str(runs / name) for name in "abcdefghijk"), "--out", str(tmp_path / "out.html")]
    done = CliRunner().invoke(main, ["report", *words])
    assert done.exit_code == 0, done.output
    left_out = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert left_out == [f"left out {runs / name}" for name in "cjk"]
    page = Page((tmp_path / "out.html").read_text())
    assert len([tag for tag, attributes in page.elements if "run7" in str(attributes.get("class"))]) > 0


def test_the_curves_alone_are_one_picture(short_run: RunFolder, tmp_path: Path) -> None:
    """The report's own charts in one SVG file: every title, no variable of a style sheet, and text stays text."""
    run = RunFolder(path=shutil.copytree(short_run.path, tmp_path / "a <b> & c"))
    done = CliRunner().invoke(main, ["curves", str(run.path)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(run.path / "curves.svg")
    picture = (run.path / "curves.svg").read_text(encoding="utf-8")
    texts = [element.text for element in ElementTree.fromstring(picture).iter(f"{SVG}text")]
    assert texts[0] == "a <b> & c"
    captions = [html.unescape(caption) for caption in re.findall(r"<figcaption>(.*?)<", report_of(tmp_path, run))]
    assert len(captions) >= 10
    assert set(captions) <= set(texts)
    assert "var(" not in picture
    assert "script" not in picture
    elsewhere = CliRunner().invoke(main, ["curves", str(run.path), "--out", str(tmp_path / "other.svg")])
    assert elsewhere.output.strip() == str(tmp_path / "other.svg")
    assert (tmp_path / "other.svg").read_text(encoding="utf-8") == picture


def test_a_run_that_only_validated_has_curves(short_run: RunFolder, tmp_path: Path) -> None:
    """With `steps=0` there is a validation and no step."""
    run = RunFolder(path=tmp_path / "validated")
    run.path.mkdir()
    shutil.copy(short_run.config_file, run.config_file)
    append_line(run.metrics_file, next(line for line in short_run.metrics() if line["event"] == "validation"))
    assert ">Reward</text>" in write_curves(run, tmp_path / "curves.svg").read_text(encoding="utf-8")
