"""The ascent picker, used as a reader uses it: pick, run longer, watch it move, stop, go on.

What the browser shows is compared byte for byte with what `maximize_activation` makes in as many
steps, when it is called in the kernel without any widget.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page
from support.lab import SHOWN, Lab

NOTEBOOK = "ascent.ipynb"
MORE = 4000  # some forty seconds: nobody waits for it here
CELL = f"""
from vizhelpers.ascent import maximize_activation
from vizhelpers.ascent_view import ascent_image, ascent_picker
from vizhelpers.images import normalize
from vizhelpers.models import load_model
from vizhelpers.pictures import to_png
from vizhelpers.scenes import load_scenes

model, images = load_model("alexnet"), normalize(load_scenes("grid", limit=20).images)
view = ascent_picker(model, more={MORE}, images=images, initial=("features.6", 3))
view
"""
EXPECTED = """
import hashlib
made = maximize_activation(model, {layer!r}, [{filter}], steps={steps})
print(hashlib.sha256(to_png(ascent_image(made))).hexdigest())
"""


class View:
    """The ascent picker on the page, as somebody sees it."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab = page, lab
        self.element = page.locator(".layer-picker")
        self.list: Locator = self.element.get_by_label("Layer")
        self.filter: Locator = self.element.get_by_label("Filter")
        self.longer: Locator = self.element.get_by_role("button", name="Run longer")
        self.stop: Locator = self.element.get_by_role("button", name="Stop")
        self.image: Locator = self.element.locator("img")
        self.row: Locator = self.element.locator(".layer-picker-run")

    def ask(self, expression: str) -> str:
        return self.lab.ask(self.page, f"print({expression})")

    def digest(self) -> str:
        return self.image.evaluate(SHOWN)

    def choose(self, layer: str, filter: int) -> None:
        lines = self.list.locator("option").all_inner_texts()
        names = [line.replace("\xa0", " ").split("  ")[0] for line in lines]
        self.list.locator("option").nth(names.index(layer)).click()
        self.filter.fill(str(filter))
        self.filter.press("Enter")
        said = f'.layer-picker-caption[data-layer="{layer}"]'
        self.element.locator(said, has_text=re.compile(rf"(Filter|Class) {filter} ")).wait_for()

    def assert_shows(self, layer: str, filter: int, steps: int) -> None:
        which = self.element.locator(".layer-picker-caption")
        which.filter(has_text=f" {filter} after {steps} steps").wait_for()
        code = EXPECTED.format(layer=layer, filter=filter, steps=steps)
        assert self.digest() == self.lab.ask(self.page, code)

    def step(self) -> int:
        """The step that is said to be made now."""
        found = re.search(r"step (\d+)", self.row.inner_text())
        return int(found[1]) if found else 0

    def wait_for_step(self, number: int) -> None:
        self.page.wait_for_function(
            "number => Number(document.querySelector('.layer-picker-run').innerText"
            ".match(/step (\\d+) of/)?.[1]) >= number",
            arg=number,
            timeout=20_000,
        )

    def bar(self) -> float:
        """How much of the bar is filled."""
        return self.row.locator(".progress-bar").evaluate(
            "bar => bar.getBoundingClientRect().width"
            " / bar.parentElement.getBoundingClientRect().width"
        )

    def wait_until_stopped(self) -> None:
        self.row.get_by_text("stopped at step").wait_for(timeout=5000)
        assert self.longer.is_enabled()
        assert self.stop.is_disabled()

    def stop_and_look(self, layer: str, filter: int) -> None:
        """Stop by mouse; it must be well before the end, and the picture that of the text."""
        self.stop.click()
        self.wait_until_stopped()
        reached = self.step()
        assert reached < MORE / 4, "it stops well before the end"
        self.page.wait_for_timeout(500)
        assert int(self.ask("view.ascent.steps")) == reached, "it stays stopped"
        self.assert_shows(layer, filter, reached)


@pytest.fixture(scope="module")
def opened(browser: Browser, browser_context_args: dict[str, object], lab: Lab) -> Iterator[View]:
    page = browser.new_context(**browser_context_args).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    lab.put(NOTEBOOK, CELL.strip(), "pass")
    lab.open(page, NOTEBOOK)
    lab.run_all(page)
    yield View(page, lab)
    assert not problems, problems
    page.context.close()


@pytest.fixture
def view(opened: View) -> View:
    """The view in a state of its own: the cell run again."""
    opened.lab.run_all(opened.page)
    opened.row.get_by_text("32 steps made").wait_for()
    return opened


def test_picking(view: View) -> None:
    view.assert_shows("features.6", 3, 32)
    assert "of 20 real images" in view.element.locator(".layer-picker-status").inner_text()
    view.choose("features.3", 40)
    view.assert_shows("features.3", 40, 32)
    view.choose("class scores", 7)
    view.page.wait_for_function(
        "() => document.querySelector('.layer-picker-status').innerText.includes('Class 7 after')"
    )
    expected = view.lab.ask(view.page, EXPECTED.format(layer="", filter=7, steps=32))
    assert view.digest() == expected


def test_a_filter_that_is_not_there(view: View) -> None:
    before = view.digest()
    view.filter.fill("128")
    view.filter.press("Enter")
    view.element.get_by_text("has channels 0 to 127, there is no 128").wait_for()
    assert view.filter.input_value() == "128"
    assert view.digest() == before
    view.filter.press("ArrowDown")
    view.assert_shows("features.6", 127, 32)


def test_run_longer_and_stop(view: View) -> None:
    digests, bars = [view.digest()], []
    view.longer.click()
    for step in (60, 150, 300):
        view.wait_for_step(step)
        digests.append(view.digest())
        bars.append(view.bar())
    assert len(set(digests)) == 4, "the picture changes on its way"
    assert 0 < bars[0] < bars[1] < bars[2] < 0.5
    assert "activation" in view.row.inner_text()
    assert view.longer.is_disabled()
    view.stop_and_look("features.6", 3)
    # Once more: what is clicked may come in another of the kernel's threads than before.
    before = view.step()
    view.longer.click()
    view.wait_for_step(before + 60)
    view.stop_and_look("features.6", 3)


def test_other_cells_run_meanwhile(view: View) -> None:
    view.longer.click()
    view.wait_for_step(60)
    trainable = "all(weights.requires_grad for weights in model.parameters())"
    assert view.ask(f"6 * 7, {trainable}") == "42 True"
    before = view.step()
    view.wait_for_step(before + 40)
    view.stop_and_look("features.6", 3)


def test_another_pick_stops_the_run(view: View) -> None:
    view.longer.click()
    view.wait_for_step(60)
    view.choose("features.8", 5)
    view.assert_shows("features.8", 5, 32)
    view.row.get_by_text("32 steps made").wait_for()
    assert view.ask("view.running") == "False"
    view.choose("features.6", 3)
    reached = view.ask("view.ascent.steps")
    assert 60 <= int(reached) < MORE / 4
    view.assert_shows("features.6", 3, int(reached))


def test_running_the_cell_again_stops_the_run(view: View) -> None:
    view.lab.ask(view.page, "old = view")
    view.longer.click()
    view.wait_for_step(60)
    view.lab.run_all(view.page)
    view.row.get_by_text("32 steps made").wait_for()
    assert view.ask("(old.running, view.running, old is view)") == "(False, False, False)"
    assert 60 <= int(view.ask("old.ascent.steps")) < MORE / 4


def test_to_the_end_by_keyboard(view: View) -> None:
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    view.lab.ask(view.page, "view._more = 40")
    view.filter.focus()
    before = view.page.evaluate(active)
    view.page.keyboard.press("Tab")
    assert view.longer.evaluate("button => button === document.activeElement")
    view.page.keyboard.press("Enter")
    view.row.get_by_text("72 steps made").wait_for()
    view.assert_shows("features.6", 3, 72)
    assert view.bar() > 0.99
    assert view.longer.is_enabled()
    assert view.page.evaluate(active) == before
