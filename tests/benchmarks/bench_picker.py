"""From a pick to its picture, in a real JupyterLab in a real browser.

Run: ``python tests/benchmarks/bench_picker.py``. Measured in the page: from the change of the
list, or the mouse's move, until the new picture is there. Nothing fails here; without a browser
there is nothing to measure, and that is said.
"""

import importlib
import secrets
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from vizhelpers._utils.paths import NOTEBOOKS

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
browser = importlib.import_module("conftest")
lab_room = importlib.import_module("lab")
linked = importlib.import_module("test_linked_browser")
picker = importlib.import_module("test_picker_browser")

PICKS = 15
GOAL = "≤ 150 ms"


@contextmanager
def opened() -> Iterator[tuple[object, Page] | None]:
    """JupyterLab on a copy of the notebooks, and an empty page; None without a browser."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as name:
        program = browser.find_browser(playwright)
        if program is None:
            yield None
            return
        folder = Path(name)
        shutil.copytree(NOTEBOOKS, folder / "course")
        port, token = lab_room.free_port(), secrets.token_hex(16)
        lab = lab_room.Lab(f"http://127.0.0.1:{port}", token)
        process = lab_room.start_lab(folder, port, token)
        try:
            lab.wait(process, folder / "lab.log")
            # Chromium's sandbox refuses to work for root.
            arguments = [*browser.ARGUMENTS, "--no-sandbox"]
            page = playwright.chromium.launch(executable_path=program, args=arguments).new_page(
                viewport={"width": 1400, "height": 1100}
            )
            yield lab, page
            lab.request("/api/shutdown", "POST")  # its kernels end with it
            process.wait(20)
        finally:
            process.kill()
            process.wait()


def pick_layers(lab: object, page: Page) -> list[float]:
    """Lesson 01's picker: every pick draws a picture that was not drawn before."""
    lab.open(page, picker.LESSON)
    lab.run_all(page)
    shown = picker.Picker(page, lab, picker.drawing_function(picker.LESSON))
    shown.element.evaluate(picker.STOPWATCH)
    for layer in list(shown.layers)[1 : PICKS + 1]:
        shown.click(layer)
        shown.wait_for(layer)
    return page.evaluate("window.pickTimes")


def point_at_tiles(lab: object, page: Page) -> list[float]:
    lab.put(linked.NOTEBOOK, linked.CELL.strip(), "pass")
    lab.open(page, linked.NOTEBOOK)
    lab.run_all(page)
    view = linked.View(page, lab)
    view.element.evaluate(linked.STOPWATCH)
    for step in range(PICKS):
        channel = 7 * step % 48  # another one each time
        view.point(view.mosaic, channel)
        view.wait_for(channel)
    return page.evaluate("window.hoverTimes")


def rows() -> list[tuple[str, str, str, str]]:
    """What was measured, against what, the goal, the result."""
    table = []
    with opened() as found:
        for name, measure in (
            ("layer picker: pick to picture", pick_layers),
            ("linked view: pointing to picture", point_at_tiles),
        ):
            result = "not measured: no browser"
            if found:
                times = measure(*found)
                result = f"median {statistics.median(times):.0f} ms of {len(times)}"
            table.append((name, "a change in the page", GOAL, result))
    return table


def main() -> None:
    for what, _, goal, measured in rows():
        print(f"{what}: {measured} (goal {goal})")


if __name__ == "__main__":
    main()
