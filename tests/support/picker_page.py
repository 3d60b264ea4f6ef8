"""The lessons' widgets on the page of a real browser, as somebody sees and uses them."""

import json
import re
from typing import Any

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Locator, Page
from support.lab import SHOWN, ask, run

from vizhelpers._utils.paths import NOTEBOOKS

MAKES_A_WIDGET = re.compile(
    r"\b(?:layer_picker|linked_view|ascent_picker|kernel_slider|paint_over)\("
)
DIGEST = "import hashlib; print(hashlib.sha256({png}).hexdigest())"
# In a lesson each picker is called `picker`, and what draws for it is called `draw`.
DRAWN = """
from vizhelpers.figures import to_png
drawn = draw({layer!r}, **{{name: box.value for name, box in picker.controls.items()}})
drawn = drawn[0] if isinstance(drawn, tuple) else drawn
"""
UNIT = """
from vizhelpers.figures import to_png
drawn = vh.features.show_unit(
    scene.image, maps, {channel}, position={position}, field=field, title="layer1"
)
"""
# From the moment at which the list changes, or the mouse moves, until the new picture is there.
STOPWATCH = """(view, event) => {
  let start;
  window.times = [];
  view.addEventListener(event, () => { start = performance.now(); }, true);
  view.addEventListener('load', () => {
    if (start !== undefined) window.times.push(performance.now() - start);
    start = undefined;
  }, true);
}"""


class LessonWidgets:
    """One notebook, of each lesson the set-up cell and the cells that make a widget.

    All share one kernel; before each set-up cell everything is forgotten but what is imported.
    """

    def __init__(self) -> None:
        self.cells: list[NotebookNode] = []
        self.places: dict[str, list[int]] = {}
        for path in sorted(NOTEBOOKS.glob("*.ipynb")):
            code = [c for c in nbformat.read(path, 4).cells if c.cell_type == "code"]
            widgets = [cell for cell in code if MAKES_A_WIDGET.search(cell.source)]
            if widgets:
                first = len(self.cells)
                forget = nbformat.v4.new_code_cell("%reset -f")
                self.cells += [forget, code[0], *widgets]
                self.places[path.stem] = list(range(first, len(self.cells)))
        for number, cell in enumerate(self.cells):
            cell.id = f"cell-{number}"  # lessons may share some
        self.shown = ""

    def of(self, page: Page, lesson: str) -> list[Locator]:
        """The widgets of a lesson, whose cells are run if it is another one's turn."""
        cells = self.places[lesson]
        if lesson != self.shown:
            run(page, *cells)
            self.shown = lesson
        return [cell_of(page, cell).locator(".vh-view") for cell in cells[2:]]


def cell_of(page: Page, index: int) -> Locator:
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


class View:
    """A widget on the page."""

    def __init__(self, element: Locator) -> None:
        self.page, self.element = element.page, element
        self.status = element.locator(".vh-status")
        self.image = element.locator("img").last
        element.scroll_into_view_if_needed()

    def ask(self, expression: str) -> Any:
        return json.loads(ask(self.page, f"import json; print(json.dumps({expression}))"))

    def wait_for(self, shown: str) -> None:
        """Wait until this is said to be shown and its picture is there."""
        self.element.locator(f'.vh-caption[data-shown="{shown}"]').wait_for(timeout=10_000)

    def assert_picture(self, code: str, png: str) -> None:
        """What is shown is to the byte what this code makes in the kernel."""
        expected = ask(self.page, f"{code}\n{DIGEST.format(png=png)}")
        assert self.image.evaluate(SHOWN) == expected

    def time(self, event: str) -> None:
        """Measure from now on how long this event takes to bring a new picture."""
        self.element.evaluate(STOPWATCH, event)

    def times(self) -> list[float]:
        return self.page.evaluate("window.times")

    def active_cell(self) -> int:
        return self.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex")


class Picker(View):
    """A layer picker on the page, called `picker` in the kernel."""

    def __init__(self, element: Locator, label: str = "Layer") -> None:
        super().__init__(element)
        self.list, self.search = element.get_by_label(label), element.get_by_label("Search")
        self.layers = self.listed()

    def listed(self) -> dict[str, str]:
        """Map the names in the list to the whole lines."""
        lines = [
            line.replace("\xa0", " ") for line in self.list.locator("option").all_inner_texts()
        ]
        return {re.split("  |$", line)[0]: " ".join(line.split()) for line in lines}

    def click(self, layer: str) -> None:
        self.list.locator("option").nth(list(self.listed()).index(layer)).click()

    def assert_shows(self, layer: str) -> None:
        controls = self.ask("{name: box.value for name, box in picker.controls.items()}")
        self.wait_for(", ".join([layer, *(f"{name} {value}" for name, value in controls.items())]))
        self.assert_picture(DRAWN.format(layer=layer), "to_png(drawn)")

    def chosen(self) -> str:
        return self.list.locator("option:checked").inner_text().split()[0]


class Linked(View):
    """The linked view on the page, called `view` in the kernel."""

    def __init__(self, element: Locator) -> None:
        super().__init__(element)
        # The lesson gives it no name: its cell ends with it.
        ask(self.page, "view = next(v for v in Out.values() if 'LinkedView' in str(type(v)))")
        self.mosaic = element.get_by_role("slider", name="Channel", exact=True)
        self.unit = element.get_by_role("slider", name="Unit of the map")
        self.number = element.get_by_label("Channel", exact=True).and_(element.locator("input"))

    def point(self, picture: Locator, index: int, *, click: bool = False) -> None:
        """Move the mouse to the middle of a cell, found without the widget's own script."""
        which = "mosaic" if picture is self.mosaic else "image"
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

    def assert_shows(self, channel: int, position: tuple[int, int] | None = None) -> None:
        self.wait_for(f"channel {channel} of layer1")
        if position:
            self.status.get_by_text("at row {}, column {}".format(*position)).wait_for()
        self.assert_picture(UNIT.format(channel=channel, position=position), "to_png(drawn)")
        assert self.number.input_value() == str(channel)
        assert self.mosaic.get_attribute("aria-valuenow") == str(channel)

    def settle(self) -> None:
        """Wait until the browser has nothing more to send and the kernel nothing to answer."""
        self.page.wait_for_timeout(200)
        ask(self.page, "pass")
