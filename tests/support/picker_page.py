"""A layer picker on the page of a real browser, as somebody sees and uses it."""

import ast

import nbformat
from playwright.sync_api import Locator, Page
from support.lab import SHOWN, Lab

from vizhelpers._utils.paths import NOTEBOOKS

EXPECTED = """
import hashlib
from vizhelpers.figures import to_png
drawn = ({draw})({layer!r})
drawn = drawn[0] if isinstance(drawn, tuple) else drawn
print(hashlib.sha256(to_png(drawn)).hexdigest())
"""


def drawing_function(lesson: str) -> str:
    """Find in the lesson's text what it passes to ``layer_picker`` for drawing."""
    for cell in nbformat.read(NOTEBOOKS / lesson, as_version=4).cells:
        if cell.cell_type == "code" and "layer_picker(" in cell.source:
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("layer_picker"):
                    return ast.unparse(node.args[1])
    raise AssertionError(f"{lesson} calls no layer_picker")


class Picker:
    """The picker on the page, as somebody sees it."""

    def __init__(self, page: Page, lab: Lab, draw: str, label: str = "Layer") -> None:
        self.page, self.lab, self.draw = page, lab, draw
        self.element = page.locator(".layer-picker").first
        self.list: Locator = self.element.get_by_label(label)
        self.search: Locator = self.element.get_by_label("Search")
        self.image: Locator = self.element.locator("img")
        self.layers = self.listed()

    def listed(self) -> dict[str, str]:
        """Map the names in the list to the whole lines."""
        lines = [
            line.replace("\xa0", " ") for line in self.list.locator("option").all_inner_texts()
        ]
        return {line.split()[0]: " ".join(line.split()) for line in lines}

    def click(self, layer: str) -> None:
        self.list.locator("option").nth(list(self.listed()).index(layer)).click()

    def wait_for(self, layer: str) -> None:
        """Wait until ``layer`` is said to be shown and its picture is there."""
        self.element.locator(f'.layer-picker-caption[data-layer="{layer}"]').wait_for()
        self.image.evaluate("image => image.decode()")

    def assert_shows(self, layer: str) -> None:
        self.wait_for(layer)
        expected = self.lab.ask(self.page, EXPECTED.format(draw=self.draw, layer=layer))
        assert self.image.evaluate(SHOWN) == expected, layer

    def chosen(self) -> str:
        return self.list.locator("option:checked").inner_text().split()[0]
