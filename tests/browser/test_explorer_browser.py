"""The explorer in a real JupyterLab: tree, search, tabs, upload, keyboard, a narrow window.

What the page shows is compared with what the plain functions make in the kernel.
"""

import io
import re
from collections.abc import Iterator

import nbformat
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from support.lab import SHOWN, VIEWPORT, Lab, ask, run

SET_UP = """
import hashlib, vizhelpers as vh
from vizhelpers.figures import to_png
vh.start_lesson()
model, images = vh.load_model("resnet18"), vh.load_scenes(limit=2).images
explorer = vh.explore(model, images); explorer
"""
# The lines that the page shows, run by hand.
BY_HAND = """
*lines, last = {code!r}.split("\\n")
exec("\\n".join(lines))
print(hashlib.sha256(to_png(eval(last))).hexdigest())
"""
TABS = (
    *("Layer", "Kernels", "Feature maps", "Class activation map", "Saliency"),
    *("Activation maximisation", "Weights"),
)


class ExplorerPage:
    """The widget on the page, called `explorer` in the kernel."""

    def __init__(self, element: Locator) -> None:
        self.element, self.page = element, element.page
        self.tree = element.get_by_role("tree", name="Layers")
        self.search = element.get_by_role("searchbox", name="Search layers")
        self.status = element.locator(".vh-status span")
        self.stop = element.get_by_role("button", name="Stop")

    def layer(self, name: str) -> Locator:
        return self.tree.locator(f'[data-name="{name}"]')

    def tab(self, title: str) -> Locator:
        return self.element.get_by_role("tab", name=title, exact=True)

    def chosen(self) -> str:
        return self.tree.locator('[aria-selected="true"]').get_attribute("data-name") or ""

    def code(self) -> str:
        return self.element.locator(".vh-code code").inner_text()

    def digest(self) -> str:
        """Of the picture that the code is for: of several, the last one."""
        picture = self.element.locator(".vh-stage .vh-frame img:visible").last
        return picture.evaluate(SHOWN)

    def says(self, words: str) -> None:
        expect(self.status).to_contain_text(words)

    def shows_maps_of(self, layer: str) -> None:
        """With what their units see, which is measured later."""
        shown = re.compile(rf"channel \d+ of {re.escape(layer)}$")
        expect(self.status).to_have_attribute("data-shown", shown)
        self.says("sees pixel rows")

    def agrees(self) -> None:
        """The picture on the page is that of the code below it, once all is there."""
        for _ in range(2):  # what was clicked has its turn before a cell, or after it
            ask(self.page, "pass")
        assert self.digest() == ask(self.page, BY_HAND.format(code=self.code()))


@pytest.fixture(scope="module", name="view")
def explorer_page(page: Page, lab: Lab) -> Iterator[ExplorerPage]:
    expect.set_options(timeout=20_000)
    lab.open(page, [nbformat.v4.new_code_cell(SET_UP)])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    run(page, 0)
    view = ExplorerPage(page.locator(".vh-explorer"))
    view.says("Channel")
    yield view


def test_tree_by_mouse_and_keyboard(view: ExplorerPage) -> None:
    expect(view.layer("layer1.0")).to_be_hidden()
    view.layer("layer1").locator(".vh-caret").click()
    expect(view.layer("layer1.0")).to_be_visible()
    assert view.chosen() == "conv1"  # opened, not chosen
    view.layer("layer1").click()
    expect(view.element.locator(".vh-title")).to_contain_text("layer1 Sequential")
    for key, name in (
        *(("ArrowDown", "layer1.0"), ("ArrowRight", "layer1.0"), ("ArrowRight", "layer1.0.conv1")),
        *(("ArrowLeft", "layer1.0"), ("ArrowLeft", "layer1.0"), ("ArrowLeft", "layer1")),
        *(("End", "fc"), ("ArrowUp", "avgpool"), ("Home", ""), ("m", "maxpool")),
    ):
        view.page.keyboard.press(key)
        assert view.chosen() == name, key
    view.shows_maps_of("maxpool")
    assert ask(view.page, "print(explorer.layer)") == "maxpool"
    view.agrees()


def test_search(view: ExplorerPage) -> None:
    view.search.fill("downsample")
    count = view.element.locator(".vh-count")
    expect(count).to_contain_text("layers")
    assert view.tree.locator(".vh-hit:visible").count() == int(count.inner_text().split()[0]) == 9
    expect(view.layer("conv1")).to_be_hidden()
    view.search.fill("nothing like it")
    expect(count).to_have_text("no layer has “nothing like it”")
    view.search.fill("layer2.0.conv2")
    view.search.press("ArrowDown")
    assert view.chosen() == "layer2.0.conv2"
    view.search.press("Escape")
    expect(view.layer("conv1")).to_be_visible()
    expect(view.layer("layer2.0.conv2")).to_be_visible()  # opened on the way to it
    view.shows_maps_of("layer2.0.conv2")
    view.agrees()


@pytest.mark.parametrize("title", TABS)
def test_every_pane(view: ExplorerPage, title: str) -> None:
    view.tab(title).click()
    if title == "Feature maps":
        view.shows_maps_of("layer2.0.conv2")
    else:
        expect(view.status).to_have_attribute("data-shown", f"{title.lower()} of layer2.0.conv2")
    expect(view.stop).to_be_hidden()
    view.agrees()


def test_tabs_by_keyboard_and_a_refusal(view: ExplorerPage) -> None:
    view.layer("layer2.0.bn2").click()
    view.tab("Layer").click()
    view.page.keyboard.press("ArrowRight")
    view.says("Its weights are [32]")
    expect(view.tab("Kernels")).to_have_attribute("aria-selected", "true")
    expect(view.element.locator(".vh-code")).to_be_hidden()
    expect(view.element.locator(".vh-stage img:visible")).to_have_count(0)
    view.page.keyboard.press("ArrowRight")
    view.shows_maps_of("layer2.0.bn2")


def test_pointing_at_a_map_and_a_unit(view: ExplorerPage) -> None:
    mosaic = view.element.get_by_role("slider", name="Channel")
    mosaic.focus()
    before = int(mosaic.get_attribute("aria-valuenow") or 0)
    mosaic.press("ArrowLeft" if before else "ArrowRight")
    channel = before - 1 if before else 1
    view.says(f"Channel {channel} of ")
    unit = view.element.get_by_role("slider", name="Unit of the map")
    box = unit.bounding_box()
    assert box
    unit.hover(position={"x": box["width"] / 4, "y": box["height"] / 3})
    expect(view.status).not_to_contain_text("(its strongest)")
    view.says(f"Channel {channel} of ")
    view.agrees()
    view.search.hover()
    view.says("(its strongest)")


def test_run_longer_and_stop(view: ExplorerPage) -> None:
    view.tab("Activation maximisation").click()
    view.says("32 steps")
    view.element.get_by_role("button", name="Run longer").click()
    expect(view.element.get_by_text("step 4")).to_be_visible()
    view.stop.click()
    expect(view.stop).to_be_hidden()
    view.agrees()
    assert 32 < int(ask(view.page, "print(explorer.choices['steps'])")) < 192


def test_class_and_method(view: ExplorerPage) -> None:
    view.layer("layer4").click()
    view.tab("Class activation map").click()
    view.says("'layer4' was asked for")
    view.element.get_by_label("Method").locator("visible=true").select_option("HiResCAM")
    view.says("HiResCAM")
    assert 'method="HiResCAM"' in view.code()
    view.agrees()


def test_copy(view: ExplorerPage) -> None:
    view.element.get_by_role("button", name="Copy").click()
    expect(view.element.get_by_role("button", name="Copied")).to_be_visible()
    assert view.page.evaluate("navigator.clipboard.readText()") == view.code()


def test_upload(view: ExplorerPage) -> None:
    def send(name: str, content: bytes) -> None:
        files = [{"name": name, "mimeType": "image/png", "buffer": content}]
        with view.page.expect_file_chooser() as chooser:
            view.element.get_by_role("button", name="Add a picture").click()
        chooser.value.set_files(files)

    before = view.digest()  # of what `agrees` has seen
    send("broken.png", b"no picture")
    view.says("broken.png could not be added")
    assert view.digest() == before
    good = io.BytesIO()
    Image.new("RGB", (60, 50), "orange").save(good, "png")
    send("good.png", good.getvalue())
    expect(view.element.get_by_role("radio", name="good.png")).to_be_checked()
    view.says("HiResCAM")
    assert "image = explorer.images[2]" in view.code()
    view.agrees()
    view.element.get_by_role("radio").first.click()
    expect(view.element.get_by_text("images[0]: ")).to_be_visible()


def test_narrow_window(view: ExplorerPage) -> None:
    view.page.set_viewport_size({"width": 900, "height": 1000})
    view.page.wait_for_function(
        """() => {
          const [tree, tabs] = ['tree', 'tablist'].map(
            role => document.querySelector(`.vh-explorer [role=${role}]`).getBoundingClientRect());
          return tree.bottom < tabs.top;
        }"""
    )
    too_wide = "element => element.scrollWidth > element.clientWidth + 1"
    assert not view.element.evaluate(too_wide)
    view.page.set_viewport_size(VIEWPORT)
