"""The widgets of the lessons, run from top to bottom in a real JupyterLab.

A picker's mouse, keys and search are tested on lesson 01's, in `test_picker_browser`; the linked
view's in `test_linked_browser`, the ascent picker's in `test_ascent_browser`. Here each lesson's
own picker and view must react, with its controls, and show what the lesson's own function draws.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page
from support.lab import SHOWN, Lab
from support.picker_page import Picker, drawing_function

# Lessons 00 and 01 have pickers without controls.
LESSONS = {
    "02_kernels.ipynb": {"kernel": "7"},
    "03_hooks_and_feature_maps.ipynb": {"scene": "car_on_meadow_0"},
    "04_class_activation_maps.ipynb": {
        "scene": "car_on_meadow_0",
        "asked": "penguin",
        "method": "LayerCAM",
    },
    "05_flashtorch.ipynb": {
        "scene": "car_on_meadow_0",
        "network": "shortcut",
        "asked": "penguin",
    },
}
LABELS = {"05_flashtorch.ipynb": "Method"}  # of what is picked; else it is a layer
EXPECTED = """
import hashlib
from vizhelpers.pictures import to_png
drawn = ({draw})({layer!r}, **{{name: c.value for name, c in picker.controls.items()}})
drawn = drawn[0] if isinstance(drawn, tuple) else drawn
print(hashlib.sha256(to_png(drawn)).hexdigest())
"""


@pytest.fixture(scope="module")
def lesson(
    request: pytest.FixtureRequest,
    browser: Browser,
    browser_context_args: dict[str, object],
    lab: Lab,
) -> Iterator[tuple[str, Page]]:
    """A lesson with every cell run."""
    page = browser.new_context(**browser_context_args).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    lab.open(page, request.param)
    lab.run_all(page)
    yield request.param, page
    assert not problems, problems
    page.context.close()


@pytest.mark.parametrize("lesson", LESSONS, indirect=True)
def test_the_picker_and_its_controls(lesson: tuple[str, Page], lab: Lab) -> None:
    name, page = lesson
    picker = Picker(page, lab, drawing_function(name), LABELS.get(name, "Layer"))
    seen = {picker.image.evaluate(SHOWN)}
    layer = list(picker.layers)[len(picker.layers) // 2]
    picker.click(layer)
    picker.wait_for(layer)
    for label, value in LESSONS[name].items():
        seen.add(picker.image.evaluate(SHOWN))
        picker.element.get_by_label(label).select_option(value)
        lab.ask(page, "pass")  # the kernel has answered
        expected = lab.ask(page, EXPECTED.format(draw=picker.draw, layer=layer))
        page.wait_for_function(
            f"async () => await ({SHOWN})(document.querySelector('.layer-picker img'))"
            f" === '{expected}'"
        )
        assert expected not in seen, f"{label} changes nothing"


@pytest.mark.parametrize("lesson", ["05_flashtorch.ipynb"], indirect=True)
def test_the_ascent_picker(lesson: tuple[str, Page]) -> None:
    _, page = lesson
    view = page.locator(".layer-picker").nth(1)
    view.scroll_into_view_if_needed()
    before = view.locator("img").evaluate(SHOWN)
    view.get_by_label("Filter").fill("7")
    view.get_by_label("Filter").press("Enter")
    view.get_by_text("Filter 7 after 32 steps").wait_for()
    assert view.locator("img").evaluate(SHOWN) != before


@pytest.mark.parametrize("lesson", ["03_hooks_and_feature_maps.ipynb"], indirect=True)
def test_the_linked_view(lesson: tuple[str, Page]) -> None:
    _, page = lesson
    view = page.locator(".linked-view")
    view.scroll_into_view_if_needed()
    box = view.get_by_label("Channel", exact=True).and_(page.locator("input"))
    unit = view.get_by_role("slider", name="Unit of the map").locator("img")
    before = unit.evaluate(SHOWN)
    box.fill("9")
    box.press("Enter")
    view.locator('.layer-picker-caption[data-unit^="9:"]').wait_for()
    assert unit.evaluate(SHOWN) != before
