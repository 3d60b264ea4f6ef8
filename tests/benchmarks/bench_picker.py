"""From a pick to its picture, in a real JupyterLab in a real browser.

Run: ``python tests/benchmarks/bench_picker.py``. Measured in the page: from the change of the
list, or the mouse's move, until the new picture is there. Nothing fails here; without a browser
there is nothing to measure, and that is said.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Page
from support.lab import VIEWPORT, running_browser, running_lab
from support.picker_page import LessonWidgets, Linked, Picker

PICKS = 15
GOAL = "≤ 60 ms"


def pick_layers(page: Page, lessons: LessonWidgets) -> list[float]:
    """Lesson 01's picker: every pick draws a picture that was not drawn before."""
    (element,) = lessons.of(page, "01_print_vs_torchinfo")
    picker = Picker(element)
    picker.time("change")
    for layer in list(picker.layers)[1 : PICKS + 1]:
        picker.click(layer)
        picker.wait_for(layer)
    return picker.times()


def point_at_tiles(page: Page, lessons: LessonWidgets) -> list[float]:
    view = Linked(lessons.of(page, "03_hooks_and_feature_maps")[0])
    view.time("mousemove")
    for step in range(PICKS):
        channel = 7 * step % 16  # another one each time
        view.point(view.mosaic, channel)
        view.wait_for(f"channel {channel} of layer1")
    return view.times()


def rows() -> list[tuple[str, str, str, str]]:
    """What was measured, against what, the goal, the result."""
    measures = {
        "layer picker: pick to picture": pick_layers,
        "linked view: pointing to picture": point_at_tiles,
    }
    results = dict.fromkeys(measures, "not measured: no browser")
    try:
        with (
            running_browser() as browser,
            tempfile.TemporaryDirectory() as folder,
            running_lab(Path(folder)) as lab,
        ):
            page, lessons = browser.new_page(viewport=VIEWPORT), LessonWidgets()
            lab.open(page, lessons.cells)
            for name, measure in measures.items():
                times = measure(page, lessons)
                results[name] = f"median {statistics.median(times):.0f} ms of {len(times)}"
    except FileNotFoundError:
        pass
    return [(name, "a change in the page", GOAL, result) for name, result in results.items()]


def main() -> None:
    for what, _, goal, measured in rows():
        print(f"{what}: {measured} (goal {goal})")


if __name__ == "__main__":
    main()
