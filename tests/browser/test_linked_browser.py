"""The linked view, used as a reader uses it: mouse, click, arrow keys, number box, list of layers.

What the browser shows is compared byte for byte with what `show_unit` draws of the channel that
was pointed at, when it is called in the kernel without any widget.
"""

import json
import statistics
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page
from support.lab import SHOWN, Lab

NOTEBOOK = "linked.ipynb"
GOAL_MS = 150
# Receptive fields are computed beforehand: a lesson would do the same.
CELL = """
from vizhelpers.capturing import capture
from vizhelpers.images import normalize
from vizhelpers.linked import linked_view, show_unit
from vizhelpers.models import load_model
from vizhelpers.pictures import to_png
from vizhelpers.receptive import receptive_field
from vizhelpers.scenes import load_scenes

model, image = load_model("alexnet"), load_scenes("grid", limit=4).images[3]
names = ["features.1", "features.4", "features.6"]
maps = {name: calls[0][0] for name, calls in capture(model, normalize(image[None]), names).items()}
fields = {name: receptive_field(model, name) for name in names}
view = linked_view(image, lambda name: (maps[name], fields[name]), layers=names)
view
"""
EXPECTED = """
import hashlib
name, channel, position = {layer!r}, {channel}, {position}
drawn = show_unit(image, maps[name], channel, position=position, field=fields[name], title=name)
print(hashlib.sha256(to_png(drawn)).hexdigest())
"""
# From the mouse's move until the new picture has been decoded.
STOPWATCH = """view => {
  let start;
  window.hoverTimes = [];
  view.querySelector('.linked-frame').addEventListener('mousemove', () => {
    start = performance.now();
  }, true);
  view.addEventListener('load', event => {
    if (start !== undefined && event.target.closest('.linked-unit')) {
      window.hoverTimes.push(performance.now() - start);
      start = undefined;
    }
  }, true);
}"""


class View:
    """The linked view on the page, as somebody sees it."""

    def __init__(self, page: Page, lab: Lab) -> None:
        self.page, self.lab = page, lab
        self.element = page.locator(".linked-view")
        self.mosaic: Locator = self.element.get_by_role("slider", name="Channel", exact=True)
        self.unit: Locator = self.element.get_by_role("slider", name="Unit of the map")
        self.number: Locator = self.element.get_by_label("Channel", exact=True).and_(
            page.locator("input")
        )
        self.layers: Locator = self.element.get_by_label("Layer")

    def ask(self, expression: str) -> object:
        return json.loads(self.lab.ask(self.page, f"import json; print(json.dumps({expression}))"))

    def point(self, picture: Locator, index: int, *, click: bool = False) -> None:
        """Move the mouse to the middle of a cell, found without the widget's own script."""
        which = "mosaic" if picture is self.mosaic else "unit"
        left, top, across, down, width, height, columns, _ = self.ask(f"view.{which}.grid")
        row, column = divmod(index, columns)
        image = picture.locator("img")
        shrunk = image.evaluate("image => image.width / image.naturalWidth")
        spot = {
            "x": (left + column * across + width / 2) * shrunk,
            "y": (top + row * down + height / 2) * shrunk,
        }
        image.hover(position=spot, force=True)
        if click:
            image.click(position=spot, force=True)

    def wait_for(self, channel: int, position: str = "") -> None:
        said = f'.layer-picker-caption[data-unit^="{channel}:{position}"]'
        self.element.locator(said).wait_for(timeout=10_000)

    def assert_shows(
        self, layer: str, channel: int, position: tuple[int, int] | None = None
    ) -> None:
        self.wait_for(channel, "{},{}".format(*position) if position else "")
        self.element.locator(f'[data-layer="{layer}"]').wait_for(timeout=10_000)
        code = EXPECTED.format(layer=layer, channel=channel, position=position)
        assert self.unit.locator("img").evaluate(SHOWN) == self.lab.ask(self.page, code)
        assert self.number.input_value() == str(channel)
        assert self.mosaic.get_attribute("aria-valuenow") == str(channel)

    def settle(self) -> None:
        """Wait until the browser has nothing more to send and the kernel nothing to answer."""
        self.page.wait_for_timeout(300)
        self.lab.ask(self.page, "pass")


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
    """The view with nothing kept, the mouse beside it, and the first layer's channel 5."""
    opened.mosaic.press("Escape")
    opened.unit.press("Escape")
    opened.page.mouse.move(5, 5)
    opened.layers.select_option("features.1")
    opened.settle()
    opened.lab.ask(opened.page, "view.choose(5)")
    opened.assert_shows("features.1", 5)
    return opened


def test_pointing_at_tiles(view: View, capsys: pytest.CaptureFixture[str]) -> None:
    view.element.evaluate(STOPWATCH)
    for channel in (0, 6, 7, 47, 20, 21, 13, 30, 41, 9, 2):
        view.point(view.mosaic, channel)
        view.assert_shows("features.1", channel)
    times = view.page.evaluate("window.hoverTimes")
    assert times
    with capsys.disabled():
        print(
            f"\nhover to picture: median {statistics.median(times):.0f} ms, "
            f"slowest {max(times):.0f} ms of {len(times)} (goal {GOAL_MS} ms)"
        )


def test_a_click_keeps_the_tile_until_the_next_one(view: View) -> None:
    view.point(view.mosaic, 11, click=True)
    view.assert_shows("features.1", 11)
    view.point(view.mosaic, 12)
    view.settle()
    view.assert_shows("features.1", 11)
    view.point(view.mosaic, 11, click=True)
    view.point(view.mosaic, 12)
    view.assert_shows("features.1", 12)


def test_arrow_keys_move_what_is_kept_and_escape_lets_go(view: View) -> None:
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = view.page.evaluate(active)
    view.point(view.mosaic, 11, click=True)
    view.page.keyboard.press("ArrowRight")
    view.assert_shows("features.1", 12)
    view.page.keyboard.press("ArrowDown")
    view.assert_shows("features.1", 12 + view.ask("view.mosaic.grid[6]"))
    view.page.keyboard.press("Escape")
    view.point(view.mosaic, 3)
    view.assert_shows("features.1", 3)
    assert view.page.evaluate(active) == before, "the keys moved through the notebook's cells"


def test_pointing_into_the_map(view: View) -> None:
    strongest = tuple(view.ask("view.position"))
    view.point(view.unit, 20 * 31 + 4)
    view.assert_shows("features.1", 5, (20, 4))
    view.page.mouse.move(5, 5)
    view.assert_shows("features.1", 5, strongest)
    view.point(view.unit, 8 * 31 + 30, click=True)
    view.page.mouse.move(5, 5)
    view.settle()
    view.assert_shows("features.1", 5, (8, 30))


def test_the_number_box_keeps_its_channel(view: View) -> None:
    view.number.fill("33")
    view.number.press("Enter")
    view.assert_shows("features.1", 33)
    view.point(view.mosaic, 2)
    view.settle()
    view.assert_shows("features.1", 33)


def test_arrow_keys_in_the_boxes(view: View) -> None:
    active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
    before = view.page.evaluate(active)
    view.number.click()
    for key, channel in (("ArrowUp", 6), ("ArrowUp", 7), ("ArrowDown", 6)):
        view.page.keyboard.press(key)
        view.assert_shows("features.1", channel)
    view.layers.focus()
    view.page.keyboard.press("ArrowDown")
    view.element.locator('[data-layer="features.4"]').wait_for(timeout=10_000)
    assert view.page.evaluate(active) == before, "the keys moved through the notebook's cells"


def test_another_layer(view: View) -> None:
    view.layers.select_option("features.4")
    view.element.locator('[data-layer="features.4"]').wait_for()
    view.point(view.mosaic, 17)
    view.assert_shows("features.4", 17)
