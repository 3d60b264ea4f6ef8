"""Lesson 01's layer picker, used as a reader uses it: mouse, arrow keys, search, wrong search.

What the browser shows is compared byte for byte with what the lesson's own drawing function
returns when it is called in the kernel, without any widget.
"""

import statistics
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.lab import SHOWN, Lab
from support.picker_page import Picker, drawing_function

LESSON = "01_print_vs_torchinfo.ipynb"
GOAL_MS = 150
# From the moment at which the list changes until the new picture has been decoded.
STOPWATCH = """picker => {
  let start;
  window.pickTimes = [];
  picker.addEventListener('change', () => { start = performance.now(); }, true);
  picker.addEventListener('load', () => {
    if (start !== undefined) window.pickTimes.push(performance.now() - start);
    start = undefined;
  }, true);
}"""


@pytest.fixture(scope="module")
def lesson(browser: Browser, browser_context_args: dict[str, object], lab: Lab) -> Iterator[Picker]:
    """Lesson 01 with every cell run, and its picker."""
    page = browser.new_context(**browser_context_args).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    lab.open(page, LESSON)
    lab.run_all(page)
    yield Picker(page, lab, drawing_function(LESSON))
    assert not problems, problems
    assert page.locator(".jp-Dialog").count() == 0
    page.context.close()


@pytest.fixture
def picker(lesson: Picker) -> Picker:
    """The picker with nothing searched for and the first layer shown."""
    first = next(iter(lesson.layers))
    lesson.search.fill("")
    lesson.element.get_by_text(f"{len(lesson.layers)} layers", exact=True).wait_for()
    lesson.click(first)
    lesson.wait_for(first)
    return lesson


def test_mouse(picker: Picker, capsys: pytest.CaptureFixture[str]) -> None:
    picker.element.evaluate(STOPWATCH)
    names = list(picker.layers)
    step = max(1, len(names) // 8)
    for layer in names[1::step]:
        picker.click(layer)
        picker.assert_shows(layer)
    times = picker.page.evaluate("window.pickTimes")
    assert times
    with capsys.disabled():
        print(
            f"\npick to picture: median {statistics.median(times):.0f} ms, "
            f"slowest {max(times):.0f} ms of {len(times)} (goal {GOAL_MS} ms)"
        )


def test_arrow_keys(picker: Picker) -> None:
    first, second, third, *_ = picker.layers
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = picker.page.evaluate(active)
    picker.page.keyboard.press("ArrowDown")
    picker.assert_shows(second)
    picker.page.keyboard.press("ArrowDown")
    picker.assert_shows(third)
    picker.page.keyboard.press("ArrowUp")
    picker.assert_shows(second)
    picker.page.keyboard.press("Home")
    picker.assert_shows(first)
    assert picker.page.evaluate(active) == before, "the keys moved through the notebook's cells"


def test_search(picker: Picker) -> None:
    layer = list(picker.layers)[-1]
    picker.search.click()
    picker.page.keyboard.type(layer)
    expected = {name: line for name, line in picker.layers.items() if layer in line}
    picker.element.get_by_text(f"{len(expected)} of {len(picker.layers)} layers").wait_for()
    assert picker.listed() == expected
    picker.assert_shows(next(iter(expected)))
    assert picker.chosen() == next(iter(expected))


def test_the_down_arrow_leads_from_the_search_into_the_list(picker: Picker) -> None:
    hits = [name for name, line in picker.layers.items() if "layer2" in line]
    picker.search.click()
    picker.page.keyboard.type("layer2")
    picker.assert_shows(hits[0])
    picker.page.keyboard.press("ArrowDown")
    picker.page.keyboard.press("ArrowDown")
    picker.assert_shows(hits[1])


def test_wrong_search(picker: Picker) -> None:
    before = picker.image.evaluate(SHOWN)
    picker.search.click()
    picker.page.keyboard.type("no such layer")
    picker.element.get_by_text("No layer matches “no such layer”").wait_for()
    assert picker.listed() == {}
    assert picker.image.evaluate(SHOWN) == before, "the last picture stays"
    picker.search.fill("layer4")
    picker.assert_shows(next(name for name in picker.layers if "layer4" in name))
    picker.search.fill("")
    picker.element.get_by_text(f"{len(picker.layers)} layers", exact=True).wait_for()
    assert picker.listed() == picker.layers
