"""The report as a real browser shows it: on a desk, on a phone, in the dark, on paper, and by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lit_sql_trainer.report import write_report
from lit_sql_trainer.runs import RunFolder

pytestmark = pytest.mark.timeout(180)

SCREENS = {
    "desk": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
    "narrow": {"width": 320, "height": 640},
    "dark": {"width": 1280, "height": 900, "dark": True},
    "paper": {"width": 794, "height": 1123, "media": "print"},
}
DRAWN = """
[...document.querySelectorAll("figure.chart svg")].map((svg) => {
  const box = svg.getBoundingClientRect();
  const shapes = [...svg.querySelectorAll("polyline, polygon, circle")].map((shape) => shape.getBBox());
  return {
    title: svg.querySelector("title").textContent, width: box.width, height: box.height,
    shapes: shapes.filter((shape) => shape.width > 0 || shape.height > 0).length,
    outside: shapes.filter((shape) => shape.x < 0 || shape.y < 0 || shape.x + shape.width > 401
      || shape.y + shape.height > 241).length,
    text: parseFloat(getComputedStyle(svg.querySelector("text")).fontSize) * box.width / 400,
  };
})
"""
CROWDED = """
[...document.querySelectorAll("figure.chart svg")].flatMap((svg) => {
  const labels = [...svg.querySelectorAll("text.label")].map((text) => text.getBBox());
  const cut = [...svg.querySelectorAll("text")].map((text) => text.getBBox()).filter((box) =>
    box.x < 0 || box.x + box.width > 400 || box.y + box.height > 240);
  return cut.concat(labels.filter((label, at) => label.x + label.width > 400
    || labels.some((other, its) => its > at && Math.abs(other.y - label.y) < label.height * 0.7)));
}).length
"""


@pytest.fixture(scope="module")
def reports(short_run: RunFolder, long_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One run, and two overlaid."""
    folder = tmp_path_factory.mktemp("reports")
    return {
        "one": write_report([long_run], folder / "one.html"),
        "two": write_report([short_run, long_run], folder / "two.html"),
    }


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("report", ["one", "two"])
def test_it_is_drawn_everywhere(page_in_browser: Any, reports: dict[str, Path], report: str, screen: str) -> None:
    """No complaint, no request, no sideways scrolling; every chart has size, shapes within it and legible text."""
    page_in_browser.open(reports[report], **SCREENS[screen])
    assert page_in_browser.complaints() == []
    assert page_in_browser.requests() == [reports[report].resolve().as_uri()]
    assert page_in_browser.value("document.documentElement.scrollWidth <= innerWidth")
    charts = page_in_browser.value(DRAWN)
    assert len(charts) >= 12
    for chart in charts:
        assert chart["width"] > 200, chart
        assert chart["height"] > 120, chart
        assert chart["shapes"] > 0, chart
        assert chart["outside"] == 0, chart
        assert chart["text"] > 8, chart
    assert page_in_browser.value(CROWDED) == 0


def test_dark_is_dark(page_in_browser: Any, reports: dict[str, Path]) -> None:
    """The page follows the reader's preference, except on paper."""
    colours: list[str] = []
    for options in ({"dark": False}, {"dark": True}, {"dark": True, "media": "print"}):
        page_in_browser.open(reports["one"], **options)
        colours.append(page_in_browser.value("getComputedStyle(document.body).color"))
    light, dark, paper = colours
    assert light == paper != dark


def test_no_hostile_text_ran(page_in_browser: Any, reports: dict[str, Path]) -> None:
    """There is one script, ours, and no dialog was opened."""
    page_in_browser.open(reports["two"])
    assert page_in_browser.value("document.scripts.length") == 1
    opened = [event for event in page_in_browser.events if event["method"] == "Page.javascriptDialogOpening"]
    assert opened == []
    assert page_in_browser.value("document.body.innerText.includes(\"<script>alert('x')</script>\")")


def test_a_chart_can_be_read_by_keyboard(page_in_browser: Any, reports: dict[str, Path]) -> None:
    """The slider under a chart moves its cursor through the points and says their values."""
    page_in_browser.open(reports["one"])
    page_in_browser.value("document.querySelector('figure.chart input').focus()")
    page_in_browser.key("Home", 36)
    first = page_in_browser.value("document.querySelector('figure.chart output').textContent")
    page_in_browser.key("ArrowRight", 39)
    second = page_in_browser.value("document.querySelector('figure.chart output').textContent")
    assert first.startswith("step 0: validation 0.")
    assert second.startswith("step 4: training 0.")
    cursor = "getComputedStyle(document.querySelector('figure.chart .cursor')).visibility"
    assert page_in_browser.value(cursor) == "visible"


def test_everything_can_be_reached_by_keyboard(page_in_browser: Any, reports: dict[str, Path]) -> None:
    """What scrolls or opens takes the focus; tab moves through the page in its order."""
    page_in_browser.open(reports["two"])
    unreachable = """[...document.querySelectorAll(".scroll, pre, summary, input, a")].filter((element) =>
        element.tabIndex < 0).length"""
    assert page_in_browser.value(unreachable) == 0
    seen: list[str] = []
    for _ in range(4):
        page_in_browser.key("Tab", 9)
        seen.append(page_in_browser.value("document.activeElement.tagName"))
    assert seen[0] == "A"
    assert "SUMMARY" in seen


def test_a_run_can_be_hidden(page_in_browser: Any, reports: dict[str, Path]) -> None:
    """Its box takes its lines away and brings them back; the box itself stays."""
    page_in_browser.open(reports["two"])
    shown = "[...document.querySelectorAll('figure.chart g.run1')].filter((g) => g.getClientRects().length).length"
    box = "document.querySelector('input[data-run=\"1\"]')"
    before = page_in_browser.value(shown)
    page_in_browser.value(f"{box}.click()")
    assert before > 0
    assert page_in_browser.value(shown) == 0
    assert page_in_browser.value(f"{box}.getClientRects().length") == 1
    page_in_browser.value(f"{box}.click()")
    assert page_in_browser.value(shown) == before


def test_it_prints(page_in_browser: Any, reports: dict[str, Path], tmp_path: Path) -> None:
    """What is folded is unfolded for paper, the controls are left out, and a PDF of several pages comes out."""
    page_in_browser.open(reports["one"])
    page_in_browser.value("dispatchEvent(new Event('beforeprint'))")
    assert page_in_browser.value("document.querySelectorAll('section > details:not([open])').length") == 0
    page_in_browser.value("dispatchEvent(new Event('afterprint'))")
    assert page_in_browser.value("document.querySelectorAll('section > details:not([open])').length") > 0
    pdf = page_in_browser.paper(tmp_path / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 3 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type/Page/") <= 30
    page_in_browser.open(reports["one"], **SCREENS["paper"])
    assert page_in_browser.value("[...document.querySelectorAll('.read')].every((e) => !e.getClientRects().length)")
