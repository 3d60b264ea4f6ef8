"""The lessons' widgets in a real JupyterLab, used as a reader uses them: mouse, keys, search.

Each lesson's widgets are made by its own cells, after its set-up cell alone. What the browser
shows is compared byte for byte with what the same function draws in the kernel without a widget.
"""

import re
import statistics
from collections.abc import Iterator

import nbformat
import numpy as np
import pytest
from matplotlib import colormaps
from playwright.sync_api import Locator, Page
from support.lab import SHOWN, Lab, ask, run
from support.picker_page import LessonWidgets, Linked, Picker, View, cell_of
from support.slider_page import CELL, Slider

GOAL_MS = 150
LESSONS = {  # controls to use, and values for them
    "00_start_here": {},
    "01_print_vs_torchinfo": {},
    "02_kernels": {"kernel": "7"},
    "02_what_kernels_respond_to": {"kernel": "7"},
    "03_hooks_and_feature_maps": {"scene": "car_on_meadow_0"},
    "03_hooks_that_bite": {"scene": "car_on_meadow_0"},
    "04_class_activation_maps": {
        "scene": "car_on_meadow_0",
        "asked": "penguin",
        "method": "LayerCAM",
    },
    "05_flashtorch": {"scene": "car_on_meadow_0", "network": "shortcut", "asked": "penguin"},
}
BOARD = """
import torch
from torch.utils.tensorboard import SummaryWriter
import vizhelpers as vh
with SummaryWriter({folder!r}) as writer:
    writer.add_image("flag", torch.ones(3, 30, 50))
board = vh.start_tensorboard({folder!r})
board.show(height=600, tab="images")
"""


@pytest.fixture(scope="module")
def lessons(
    page: Page, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LessonWidgets]:
    """The notebook of all widgets, opened and not yet run; then kernel sliders and TensorBoard."""
    made = LessonWidgets()
    folder = str(tmp_path_factory.mktemp("runs"))
    board = nbformat.v4.new_code_cell(BOARD.format(folder=folder).strip())
    lab.open(page, [*made.cells, nbformat.v4.new_code_cell(CELL.strip()), board])
    yield made
    assert page.locator(".jp-Dialog").count() == 0


def report(what: str, view: View, capsys: pytest.CaptureFixture[str]) -> None:
    times = view.times()
    assert times
    with capsys.disabled():
        print(
            f"\n{what} to picture: median {statistics.median(times):.0f} ms, "
            f"slowest {max(times):.0f} ms of {len(times)} (goal {GOAL_MS} ms)"
        )


def test_who_runs_nothing_sees_the_pictures(page: Page, lessons: LessonWidgets) -> None:
    for cells in lessons.places.values():
        for cell in cells[2:]:
            picture = cell_of(page, cell).locator(".jp-OutputArea-output img")
            picture.scroll_into_view_if_needed()
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 200


# -- each lesson's picker ---------------------------------------------------------------------


@pytest.mark.parametrize("lesson", LESSONS)
def test_the_picker_and_its_controls(lesson: str, page: Page, lessons: LessonWidgets) -> None:
    label = "Method" if lesson == "05_flashtorch" else "Layer"
    (element,) = [e for e in lessons.of(page, lesson) if e.get_by_label(label).count() == 1][:1]
    picker = Picker(element, label)
    names = list(picker.layers)
    seen = [picker.image.evaluate(SHOWN)]
    chosen = next(name for name in names if name != picker.chosen())  # early layers cost least
    picker.click(chosen)
    picker.assert_shows(chosen)
    for name, value in LESSONS[lesson].items():
        seen.append(picker.image.evaluate(SHOWN))
        box = element.get_by_label(name)
        if box.evaluate("box => box.tagName") == "SELECT":
            box.select_option(value)
        else:
            box.fill(value)
            box.press("Enter")
        page.wait_for_timeout(100)
        picker.assert_shows(chosen)
        assert picker.image.evaluate(SHOWN) not in seen, f"{name} changes nothing"
    assert picker.status.get_attribute("aria-live") == "polite"


# -- a picker, in all ways: lesson 01 -----------------------------------------------------------


@pytest.fixture
def picker(page: Page, lessons: LessonWidgets) -> Picker:
    """Lesson 01's picker with nothing searched for and the first layer shown."""
    (element,) = lessons.of(page, "01_print_vs_torchinfo")
    element.get_by_label("Search").fill("")
    element.get_by_text(re.compile(r"^\d+ layers$")).wait_for()  # or the search comes afterwards
    ask(page, "picker.pick(picker.layers[0])")
    picker = Picker(element)
    picker.wait_for(next(iter(picker.layers)))
    picker.list.focus()
    return picker


def test_mouse(picker: Picker, capsys: pytest.CaptureFixture[str]) -> None:
    picker.time("change")
    names = list(picker.layers)
    for layer in names[1 :: max(1, len(names) // 8)]:
        picker.click(layer)
        picker.assert_shows(layer)
    report("pick", picker, capsys)


def test_arrow_keys(picker: Picker) -> None:
    first, second, third, *_ = picker.layers
    before = picker.active_cell()
    for key, layer in zip(
        ("ArrowDown", "ArrowDown", "ArrowUp", "Home"), (second, third, second, first), strict=True
    ):
        picker.page.keyboard.press(key)
        picker.assert_shows(layer)
    assert picker.active_cell() == before, "the keys moved through the notebook's cells"


def test_search_and_down_into_the_list(picker: Picker) -> None:
    hits = {name: line for name, line in picker.layers.items() if "layer2" in line}
    picker.search.click()
    picker.page.keyboard.type("layer2")
    picker.element.get_by_text(f"{len(hits)} of {len(picker.layers)} layers").wait_for()
    assert picker.listed() == hits
    first, second, *_ = hits
    picker.assert_shows(first)
    assert picker.chosen() == first
    picker.page.keyboard.press("ArrowDown")
    picker.page.keyboard.press("ArrowDown")
    picker.assert_shows(second)


def test_wrong_search(picker: Picker) -> None:
    before = picker.image.evaluate(SHOWN)
    picker.search.click()
    picker.page.keyboard.type("no such layer")
    picker.element.get_by_text("No layer matches “no such layer”").wait_for()
    assert picker.listed() == {}
    assert picker.image.evaluate(SHOWN) == before, "the last picture stays"
    picker.search.fill("layer4")
    picker.assert_shows(next(name for name in picker.layers if "layer4" in name))
    picker.search.press("Enter")
    picker.element.get_by_text(f"{len(picker.layers)} layers", exact=True).wait_for()
    assert picker.listed() == picker.layers


# -- the linked view: lesson 03 -----------------------------------------------------------------


@pytest.fixture
def linked(page: Page, lessons: LessonWidgets) -> Linked:
    """The linked view with nothing kept, the mouse beside it, and channel 5."""
    element, *_ = lessons.of(page, "03_hooks_and_feature_maps")
    view = Linked(element)
    page.mouse.move(5, 5)
    ask(page, "view.mosaic.kept = view.image.kept = False; view.choose(5)")
    view.assert_shows(5)
    return view


def test_pointing_at_tiles(linked: Linked, capsys: pytest.CaptureFixture[str]) -> None:
    linked.time("mousemove")
    for channel in (0, 6, 7, 15, 9, 2):
        linked.point(linked.mosaic, channel)
        linked.assert_shows(channel)
    report("hover", linked, capsys)


def test_a_click_keeps_the_tile_until_the_next_one(linked: Linked) -> None:
    linked.point(linked.mosaic, 11, click=True)
    linked.assert_shows(11)
    linked.point(linked.mosaic, 12)
    linked.settle()
    linked.assert_shows(11)
    linked.point(linked.mosaic, 11, click=True)
    linked.point(linked.mosaic, 12)
    linked.assert_shows(12)


def test_arrow_keys_move_what_is_kept_and_escape_lets_go(linked: Linked) -> None:
    linked.point(linked.mosaic, 9, click=True)
    before = linked.active_cell()
    linked.mosaic.focus()
    linked.page.keyboard.press("ArrowRight")
    linked.assert_shows(10)
    linked.page.keyboard.press("ArrowDown")
    linked.assert_shows(10 + linked.ask("view.mosaic.grid[6]"))
    linked.page.keyboard.press("Escape")
    linked.point(linked.mosaic, 3)
    linked.assert_shows(3)
    assert linked.active_cell() == before, "the keys moved through the notebook's cells"


def test_pointing_into_the_map(linked: Linked) -> None:
    strongest = tuple(linked.ask("view.position"))
    linked.point(linked.unit, 20 * 32 + 4)
    linked.assert_shows(5, (20, 4))
    linked.page.mouse.move(5, 5)
    linked.assert_shows(5, strongest)
    linked.point(linked.unit, 8 * 32 + 30, click=True)
    linked.page.mouse.move(5, 5)
    linked.settle()
    linked.assert_shows(5, (8, 30))


def test_the_number_box_keeps_its_channel_and_its_arrow_keys(linked: Linked) -> None:
    before = linked.active_cell()
    linked.number.fill("13")
    linked.number.press("Enter")
    linked.assert_shows(13)
    for key, channel in (("ArrowUp", 14), ("ArrowDown", 13)):
        linked.page.keyboard.press(key)
        linked.assert_shows(channel)
    linked.point(linked.mosaic, 2)
    linked.settle()
    linked.assert_shows(13)
    assert linked.active_cell() == before, "the keys moved through the notebook's cells"


# -- the activation picker: lesson 05 -----------------------------------------------------------

WIDGETS = "from ipywidgets.widgets.widget import _instances; print(len(_instances))"
MORE = 4000  # some forty seconds: nobody waits for it here
FILTERS = "05_what_a_filter_wants_to_see"
MADE = """
from vizhelpers.figures import to_png
from vizhelpers.widgets.activation_picker import ascent_image
import functools
if "means" not in globals():
    alexnet, given = vh.load_model("alexnet"), vh.normalize(vh.load_scenes().images)
    means = functools.cache(lambda layer: vh.features.channel_means(alexnet, layer, given))
made = vh.maximize_activation(alexnet, {layer!r}, [{filter}], steps={steps})
strongest = means({layer!r})[:, {filter}].argmax()
beside = vh.denormalize(given[strongest]).clamp(0, 1)
"""


class Ascent(Picker):
    """The activation picker, `view` in the lesson."""

    def __init__(self, element: Locator) -> None:
        super().__init__(element)
        self.filter = element.get_by_label("Filter")
        self.longer = element.get_by_role("button", name="Run longer")
        self.stop = element.get_by_role("button", name="Stop")
        self.row = element.locator(".vh-row")

    def choose(self, layer: str, filter: int) -> None:
        self.click(layer)
        self.filter.fill(str(filter))
        self.filter.press("Enter")
        self.wait_for(f"{layer}, filter {filter}")

    def assert_at(self, layer: str, filter: int, steps: int) -> None:
        self.wait_for(f"{layer}, filter {filter}")
        self.status.get_by_text(f"Filter {filter} after {steps} steps").wait_for()
        code = MADE.format(layer=layer, filter=filter, steps=steps)
        self.assert_picture(code, "to_png(ascent_image(made, beside))")

    def step(self) -> int:
        """The step that is said to be made now."""
        found = re.search(r"step (\d+)", self.row.inner_text())
        return int(found[1]) if found else 0

    def wait_for_step(self, number: int) -> None:
        deadline = 200  # of 50 ms
        while self.step() < number:
            deadline -= 1
            assert deadline, f"no step {number}: {self.row.inner_text()}"
            self.page.wait_for_timeout(50)

    def wait_for_change(self, before: str) -> str:
        """The digest of the next other picture, however soon after the step it comes."""
        for _ in range(100):
            shown = self.image.evaluate(SHOWN)
            if shown != before:
                return shown
            self.page.wait_for_timeout(50)
        raise AssertionError("the picture does not change on its way")

    def bar(self) -> float:
        """How much of the bar is filled."""
        return self.row.locator(".progress-bar").evaluate(
            "bar => bar.getBoundingClientRect().width"
            " / bar.parentElement.getBoundingClientRect().width"
        )

    def stop_by_mouse(self) -> int:
        """Stop well before the end, and tell after which step."""
        self.stop.click()
        self.row.get_by_text("stopped at step").wait_for(timeout=5000)
        assert self.longer.is_enabled()
        assert self.stop.is_disabled()
        reached = self.step()
        assert reached < MORE / 4, "it stops well before the end"
        self.page.wait_for_timeout(200)
        assert self.ask("view.ascent.steps") == reached, "it stays stopped"
        return reached


@pytest.fixture
def ascent(page: Page, lessons: LessonWidgets) -> Ascent:
    """The activation picker at rest; each test has another filter, of which nothing is kept."""
    (element,) = lessons.of(page, FILTERS)
    ask(page, f"view._more = {MORE}; view.stop()")
    return Ascent(element)


def test_ascent_run_longer_and_stop(ascent: Ascent) -> None:
    ascent.choose("features.6", 40)
    ascent.assert_at("features.6", 40, 32)
    assert "of 200 real images" in ascent.status.inner_text()
    digests, bars = [ascent.image.evaluate(SHOWN)], []
    ascent.longer.click()
    for _ in range(3):
        ascent.wait_for_step(ascent.step() + 8)
        digests.append(ascent.wait_for_change(digests[-1]))
        bars.append(ascent.bar())
    assert 0 < bars[0] < bars[1] < bars[2] < 0.5
    assert ascent.longer.is_disabled()
    reached = ascent.stop_by_mouse()
    # Once more: what is clicked may come in another of the kernel's threads than before.
    ascent.longer.click()
    ascent.wait_for_step(reached + 8)
    ascent.assert_at("features.6", 40, ascent.stop_by_mouse())


def test_ascent_a_filter_that_is_not_there(ascent: Ascent) -> None:
    ascent.choose("features.6", 127)
    before = ascent.image.evaluate(SHOWN)
    ascent.filter.press("ArrowUp")
    ascent.element.get_by_text("has channels 0 to 127, there is no 128").wait_for()
    assert ascent.filter.input_value() == "128"
    assert ascent.image.evaluate(SHOWN) == before
    ascent.filter.press("ArrowDown")
    ascent.assert_at("features.6", 127, 32)


def test_ascent_other_cells_run_meanwhile_and_another_pick_stops_it(ascent: Ascent) -> None:
    ascent.choose("features.6", 3)
    ascent.longer.click()
    ascent.wait_for_step(40)
    trainable = "all(weights.requires_grad for weights in alexnet.parameters())"
    assert ascent.ask(f"[6 * 7, {trainable}]") == [42, True]
    ascent.wait_for_step(ascent.step() + 16)
    ascent.choose("features.8", 5)
    ascent.assert_at("features.8", 5, 32)
    assert ascent.ask("view.running") is False
    ascent.choose("features.6", 3)
    reached = ascent.ask("view.ascent.steps")
    assert 56 <= reached < MORE / 4
    ascent.assert_at("features.6", 3, reached)


def test_ascent_to_the_end_by_keyboard(ascent: Ascent) -> None:
    ask(ascent.page, "view._more = 16")
    before = ascent.active_cell()
    ascent.choose("features.8", 9)
    ascent.page.keyboard.press("Tab")
    assert ascent.longer.evaluate("button => button === document.activeElement")
    ascent.page.keyboard.press("Enter")
    ascent.row.get_by_text("48 steps made").wait_for()
    ascent.assert_at("features.8", 9, 48)
    assert ascent.bar() > 0.99
    assert ascent.longer.is_enabled()
    assert ascent.active_cell() == before


def test_running_the_cell_again_closes_what_it_had_made(
    ascent: Ascent, lessons: LessonWidgets
) -> None:
    page, cell = ascent.page, lessons.places[FILTERS][-1]
    ask(page, "old, ascent_before = view, view.ascent")
    ascent.choose("features.10", 1)
    ascent.longer.click()
    ascent.wait_for_step(40)
    count = ask(page, WIDGETS)
    run(page, cell)
    again = Ascent(ascent.element)
    again.row.get_by_text("32 steps made").wait_for()
    assert ask(page, "print(old, old is view)") == "<AscentPicker: closed> False"
    assert ask(page, WIDGETS) == count
    assert ascent.element.count() == 1


# -- the kernel slider ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sliders(page: Page, lessons: LessonWidgets) -> list[Slider]:
    """The slider of lesson 02, and some of other convolutions."""
    cell = len(lessons.cells)
    run(page, cell)
    views = cell_of(page, cell).locator(".vh-view")
    views.nth(4).wait_for()
    return [Slider(view) for view in views.all()]


@pytest.fixture
def slider(sliders: list[Slider]) -> Slider:
    """The lesson's slider at rest, its map empty."""
    sliders[0].page.mouse.move(5, 5)
    sliders[0].again.click()
    return sliders[0]


def test_the_kernel_follows_the_mouse_and_paints(slider: Slider) -> None:
    slider.point(20, 12)
    assert slider.place() == (20, 12)
    slider.assert_adds_up()
    slider.point(20, 40)
    slider.point(31, 50, click=True)  # and hold
    assert slider.place() == (31, 50)
    slider.assert_adds_up()
    slider.assert_known_to_python()
    feature_map, *_ = slider.by_hand("image, conv")
    colours = slider.colours(feature_map.shape)
    on_the_way = [(20, column) for column in range(12, 40)]
    assert all(colours[place][3] == 255 for place in on_the_way)
    assert (colours[40:, :10, 3] == 0).all(), "nothing where it has not been"
    slider.point(5, 5)
    assert slider.place() == (31, 50), "it is held"
    slider.point(6, 7, click=True)
    assert slider.place() == (6, 7)
    slider.point(8, 9)
    assert slider.place() == (8, 9), "let go"


def test_a_finger_slides_it_while_it_is_down(slider: Slider) -> None:
    box = slider.picture.bounding_box()
    assert box
    for buttons, place in ((1, (10, 11)), (0, (30, 31))):
        spot = slider.spot(*place)
        where = {"clientX": box["x"] + spot["x"], "clientY": box["y"] + spot["y"]}
        slider.picture.dispatch_event(
            "pointermove", {**where, "pointerType": "touch", "buttons": buttons}
        )
    assert slider.place() == (10, 11)


def test_the_kernel_by_keyboard(slider: Slider) -> None:
    before = slider.active_cell()
    slider.picture.focus()
    keys = {
        "Home": (8, 0), "PageUp": (0, 0), "ArrowUp": (0, 0), "ArrowRight": (0, 1),
        "ArrowDown": (1, 1), "End": (1, 63), "PageDown": (63, 63), "ArrowLeft": (63, 62),
    }  # fmt: skip
    ask(slider.page, "slider.at = 8, 9")
    slider.shows("row", "8").wait_for()
    for key, place in keys.items():
        slider.page.keyboard.press(key)
        assert slider.place() == place, key
    slider.assert_adds_up()
    slider.assert_known_to_python()
    slider.page.keyboard.press("Tab")
    slider.page.keyboard.press("ArrowRight")
    slider.page.keyboard.press("ArrowRight")
    spoken = slider.patch.get_attribute("aria-valuetext") or ""
    _, products, patch, weight = slider.by_hand("image, conv")
    terms = zip(("red", "green", "blue"), patch[:, 0, 1], weight[:, 0, 1], strict=True)
    expected = " + ".join(f"{name} {pixel:.3f} × {one:.3f}" for name, pixel, one in terms)
    expected = f"row 0, column 1 of the kernel: {expected} = {products[:, 1].sum():.3f}"
    assert spoken.replace("−", "-") == expected.replace("-0.000", "0.000")
    assert slider.active_cell() == before, "the keys moved through the notebook's cells"


def test_the_whole_map_in_its_colours_and_another_kernel(slider: Slider) -> None:
    slider.fill.click()
    slider.said.get_by_text("The whole map is painted: 4096 places.").wait_for()
    for channel in 1, 5:
        slider.number.fill(str(channel))
        slider.number.press("Enter")
        slider.shows("channel", str(channel)).wait_for()
        slider.assert_adds_up()
        feature_map, *_ = slider.by_hand("image, conv")
        reach = np.abs(feature_map).max()
        expected = 255 * colormaps["bwr"]((feature_map / reach + 1) / 2)
        differs = np.abs(slider.colours(feature_map.shape) - expected).max(axis=2) > 2
        row, column = slider.place()
        differs[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = False  # its frame
        assert not differs.any()
    slider.number.fill("16")
    slider.number.press("Enter")
    slider.status.get_by_text("there are output channels 0 to 15, not 16").wait_for()
    assert slider.says("channel") == "5"
    slider.again.click()
    assert 0 < int(slider.says("painted")) <= 9


def test_one_input_channel_of_it(slider: Slider) -> None:
    slider.plane.select_option("2: blue")
    assert slider.says("plane") == "2"
    slider.assert_adds_up()
    slider.plane.select_option("-1")
    slider.assert_adds_up()


def test_any_convolution(sliders: list[Slider]) -> None:
    for number, slider in enumerate(sliders[1:]):
        for keys in ("PageUp", "Home"), ("ArrowRight", "ArrowDown"), ("PageDown", "End"):
            for key in keys:
                slider.map.press(key)
            slider.assert_adds_up(f"images[{number}], convs[{number}]")


# -- TensorBoard ------------------------------------------------------------------------------


def test_tensorboard_in_a_frame(page: Page, lessons: LessonWidgets) -> None:
    cell = len(lessons.cells) + 1
    run(page, cell)
    output = cell_of(page, cell).locator(".jp-OutputArea")
    frame = output.locator("iframe")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    assert box["height"] > 590
    assert box["width"] > 600
    inside = output.frame_locator("iframe")
    inside.locator("tf-image-loader", has_text="flag").locator("img").wait_for()
    link = output.locator("a", has_text="TensorBoard in its own tab")
    assert link.get_attribute("href") == frame.get_attribute("src")
    ask(page, "board.stop()")
