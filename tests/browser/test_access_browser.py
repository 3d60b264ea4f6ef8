"""Everything that is operated, in JupyterLab's two themes and at 200 % zoom of a small screen."""

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Locator, Page
from support.access import nameless, too_pale
from support.lab import VIEWPORT, Lab, run
from support.picker_page import cell_of

SET_UP = """
import torch, vizhelpers as vh
from vizhelpers import check, predict, progress, quiz
vh.start_lesson()
model, scenes = vh.load_model("resnet18"), vh.load_scenes(limit=2)
images, scene = vh.normalize(scenes.images), scenes[0]
maps = vh.capture(model, images[:1], "layer1")
field = vh.features.receptive_field(model, "layer1", images.shape)
"""
CELLS = {
    "a quiz": 'quiz("01.q1")',
    "a prediction": 'predict("03.p1")',
    "an answer with hints": 'check("01.parameters", 1)',
    "a table": "progress()",
    "layer picker": "vh.layer_picker(model, lambda name: vh.show_mosaic(model.conv1.weight))",
    "linked view": "vh.widgets.linked_view(scene.image, maps.map, field=field, title='layer1')",
    "ascent picker": 'vh.widgets.ascent_picker(model, ["conv1"], steps=4)',
    "kernel slider": "vh.kernel_slider(scene.image, model.conv1)",
    "paint over": "vh.paint_over(scene.image, model)",
    "explorer": "vh.explore(model, scenes.images)",
}
ZOOMED = {"width": 640, "height": 700}  # CSS pixels of 1280 × 1400 at 200 %
CHANGE_THEME = """
theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })"""
WIDER = "element => element.scrollWidth - element.clientWidth"


def put_on(page: Page, theme: str) -> None:
    name = f"JupyterLab {theme}"
    page.evaluate(CHANGE_THEME, name)
    page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)


@pytest.fixture(scope="module")
def shown(page: Page, lab: Lab) -> Iterator[dict[str, Locator]]:
    """The output of each, by its name."""
    code = [SET_UP.strip(), *CELLS.values()]
    lab.open(page, [nbformat.v4.new_code_cell(source) for source in code])
    run(page, *range(len(code)))
    outputs = (cell_of(page, k).locator(".jp-OutputArea-output") for k in range(1, len(code)))
    yield dict(zip(CELLS, outputs, strict=True))
    put_on(page, "Light")  # JupyterLab, which others use after this, remembers it


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_controls_have_names_and_words_have_contrast(
    theme: str, page: Page, shown: dict[str, Locator]
) -> None:
    put_on(page, theme)
    found = {name: (nameless(place), too_pale(place)) for name, place in shown.items()}
    assert found == dict.fromkeys(CELLS, ([], []))


def test_at_200_percent_nothing_is_lost(page: Page, shown: dict[str, Locator]) -> None:
    """Beside JupyterLab's list of files, which whoever zooms so far folds away."""
    page.evaluate("window.jupyterapp.commands.execute('application:toggle-left-area')")
    page.set_viewport_size(ZOOMED)
    hidden = {name: place.evaluate(WIDER) for name, place in shown.items()}
    page.set_viewport_size(VIEWPORT)
    assert max(hidden.values()) <= 1, hidden


def test_what_is_missing_would_be_found(page: Page, shown: dict[str, Locator]) -> None:
    """Otherwise nothing found above would prove nothing."""
    put_on(page, "Light")
    place = shown["paint over"]
    bad = '<input type="range"><p style="color: #999">pale</p>'
    place.evaluate("(element, html) => { element.innerHTML = html; }", bad)
    assert (nameless(place), too_pale(place)) == (['- slider: "50"'], ["pale"])
