"""TensorBoard's own pages in a real browser: what each tab shows is what was logged.

Where a tab only draws, the drawn lines are measured against the labels of their axes. No page may
ask for anything that the server itself does not have.
"""

import io
import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, Route
from sklearn.metrics import precision_recall_curve
from sklearn.metrics.pairwise import cosine_distances
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from vizhelpers.tensorboard.server import Board, start_tensorboard

Array = NDArray[np.float64]
STEPS = np.arange(60)
LOSS = {"fast": np.exp(-0.1 * STEPS), "slow": np.exp(-0.02 * STEPS)}
MEANS = {"fast": (0.0, 1.0, 2.0), "slow": (2.0, 2.0, -1.0)}
SPREAD = 0.1
SWEEP = {"small": (0.125, 16, 0.875), "large": (0.5, 64, 0.25)}
PINK = (255, 0, 200)
TABS = {
    *("timeseries", "scalars", "images", "graphs", "distributions", "histograms", "text"),
    *("pr_curves", "hparams", "projector"),
}
# Where the middle of every label is on the screen, and what it says.
LABELS = """(labels, side) => labels.map(label => {
  const box = label.getBoundingClientRect();
  return [side === 'x' ? box.x + box.width / 2 : box.y + box.height / 2, label.textContent];
})"""
# The colour of every path, and its points on the screen.
PATHS = """paths => paths.map(path => {
  const points = path.getAttribute('d').match(/-?[\\d.]+(?:e-?\\d+)?/g).map(Number);
  const matrix = path.getScreenCTM();
  const shown = [];
  for (let i = 0; i < points.length; i += 2) {
    const point = new DOMPoint(points[i], points[i + 1]).matrixTransform(matrix);
    shown.push([point.x, point.y]);
  }
  return [path.getAttribute('stroke') || '', shown];
})"""
FETCH = "async i => Array.from(new Uint8Array(await (await fetch(i.src)).arrayBuffer()))"


def flag() -> NDArray[np.uint8]:
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[:, :20] = (255, 120, 0)
    pixels[5:25, 30:] = (0, 40, 200)
    return pixels


def scores() -> tuple[NDArray[np.int64], Array]:
    """Answers and probabilities; TensorBoard knows 127 thresholds, and these are on them."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 200)
    return truth, np.clip(rng.normal(45 + 30 * truth, 20).round(), 0, 126) / 126


def embeddings() -> Array:
    return np.random.default_rng(2).normal(size=(40, 12)) * np.linspace(3, 0.3, 12)


def write_logs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for run in LOSS:
        with SummaryWriter(folder / run) as writer:
            for step in STEPS:
                writer.add_scalar("loss", LOSS[run][step], step)
            for step, mean in enumerate(MEANS[run]):
                writer.add_histogram("weights", rng.normal(mean, SPREAD, 1000), step)
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(3, 4, 3))
    net.add_module("head", nn.Linear(6, 2))
    with SummaryWriter(folder / "fast") as writer:
        writer.add_image("flag", flag(), 7, dataformats="HWC")
        writer.add_graph(net, torch.rand(1, 3, 8, 8))
        writer.add_text("notes", "the **bold** hedgehog, `lr=0.1`", 3)
        writer.add_pr_curve("truck", *scores(), 0)
        names = [f"point {n:02d}" for n in range(40)]
        sprites = torch.tensor(PINK).div(255).view(1, 3, 1, 1).expand(40, 3, 8, 8)
        writer.add_embedding(embeddings(), names, sprites, tag="penultimate")
    with SummaryWriter(folder / "sweep") as writer:
        for name, (rate, batch, accuracy) in SWEEP.items():
            settings = {"rate": rate, "batch": batch}
            writer.add_hparams(settings, {"accuracy": accuracy}, run_name=name)


def eventually(check: Callable[[], object], seconds: float = 20) -> None:
    """Try until the page has drawn what is expected; charts come without any sign of it."""
    end = time.monotonic() + seconds
    while True:
        try:
            check()
            return
        except (AssertionError, ValueError, IndexError, np.linalg.LinAlgError, TypeError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def ask(board: Board, what: str) -> dict[str, dict[str, object]]:
    with urllib.request.urlopen(f"{board.url}data/{what}", timeout=10) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def board(page: Page, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("runs")
    write_logs(folder)
    with start_tensorboard(folder) as board:

        def all_is_read() -> None:
            assert {"fast", "slow", "sweep/small"} <= set(ask(board, "plugin/scalars/tags"))
            plugins = ask(board, "plugins_listing")
            assert {name for name in TABS if plugins[name]["enabled"]} == TABS

        eventually(all_is_read)
        yield board


@pytest.fixture(scope="module")
def show(page: Page, board: Board) -> Iterator[Callable[..., Page]]:
    """Opens a tab of the one page."""
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    page.route(lambda url: not url.startswith((board.url, "data:", "blob:")), refuse)

    def go(tab: str, query: str = "") -> Page:
        page.goto(f"{board.url}{query}#{tab}")
        return page

    yield go
    assert asked == [], "of other servers"


# Measuring what is drawn


def number(label: str) -> float:
    """Read a label of an axis, such as ``-200m``."""
    return float(label[:-1]) / 1000 if label.endswith("m") else float(label)


def scale(labels: Locator, side: str) -> Callable[[Array], Array]:
    """From a place on the screen to the number that an axis gives it."""
    shown = [(place, number(text)) for place, text in labels.evaluate_all(LABELS, side) if place]
    read = shown[1:-1]  # labels at the ends may have been pushed inwards
    factor, offset = np.polyfit(*zip(*read, strict=True), 1)
    return lambda places: factor * places + offset


def drawn(card: Locator) -> list[tuple[str, Array]]:
    """The colour of every line of a chart, and its points in the units of the axes."""
    x = scale(card.locator(".x-axis .tick-label"), "x")
    y = scale(card.locator(".y-axis .tick-label"), "y")
    lines = [
        (colour, np.array(points))
        for colour, points in card.locator("path.line").evaluate_all(PATHS)
    ]
    return [(colour, np.stack([x(p[:, 0]), y(p[:, 1])], axis=1)) for colour, p in lines]


def colour_of(page: Page, run: str) -> str:
    box = page.locator(f"tf-runs-selector [id='checkbox-{run}']").first
    return box.evaluate("b => b.style.getPropertyValue('--paper-checkbox-checked-color').trim()")


# One test for each tab


def test_time_series(show: Callable[..., Page]) -> None:
    page = show("timeseries", "?tagFilter=loss")
    card = page.locator("scalar-card", has_text="loss").first
    for run, values in LOSS.items():
        row = card.locator("tb-data-table-content-row", has_text=run)
        row.wait_for()
        cells = row.inner_text().split()
        assert f"{values[-1]:.4f}" in cells
        assert "59" in cells


def test_scalars(show: Callable[..., Page]) -> None:
    page = show("scalars")
    card = page.locator("tf-scalar-card", has_text="loss")

    def check() -> None:
        lines = drawn(card)
        for run, values in LOSS.items():
            logged = np.stack([STEPS, values], axis=1)
            own = [points for colour, points in lines if colour == colour_of(page, run)]
            # The smoothed line has the colour too.
            assert any(
                points.shape == logged.shape and np.allclose(points, logged, atol=[0.5, 0.02])
                for points in own
            ), run

    eventually(check)


def test_images(show: Callable[..., Page]) -> None:
    shown = show("images").locator("tf-image-loader", has_text="flag")
    shown.filter(has_text=re.compile(r"step\s+7\b")).filter(has_text="fast").wait_for()
    image = shown.locator("img")
    image.evaluate("image => image.decode()")
    pixels = np.asarray(Image.open(io.BytesIO(bytes(image.evaluate(FETCH)))).convert("RGB"))
    assert np.array_equal(pixels, flag())


def test_graphs(show: Callable[..., Page]) -> None:
    scene = show("graphs").locator("tf-graph-scene")
    scene.locator("[data-name='Sequential'] rect").first.dblclick()
    scene.locator("[data-name='Sequential/Conv2d[stem]']").first.wait_for()
    names = scene.locator("g.node").evaluate_all("all => all.map(n => n.dataset.name)")
    assert {name for name in names if "[" in name} == {
        "Sequential/Conv2d[stem]",
        "Sequential/Linear[head]",
    }
    edges = scene.locator("g.edge").evaluate_all("all => all.map(e => e.dataset.edge)")
    assert "Sequential/Conv2d[stem]--Sequential/Linear[head]" in edges


def test_distributions(show: Callable[..., Page]) -> None:
    page = show("distributions")

    def check() -> None:
        for run, means in MEANS.items():
            lines = drawn(page.locator("tf-distribution-loader", has_text=run))
            assert len(lines) == 8, "percentiles"
            heights = np.array([points[:, 1] for _, points in lines])
            assert np.allclose(np.median(heights, axis=0), means, atol=0.1)
            width = np.ptp(heights, axis=0)
            assert np.all((width > 5 * SPREAD) & (width < 9 * SPREAD)), "of a thousand numbers"

    eventually(check)


def test_histograms(show: Callable[..., Page]) -> None:
    page = show("histograms")

    def check() -> None:
        for run, means in MEANS.items():
            card = page.locator("tf-histogram-loader", has_text=run)
            x = scale(card.locator(".axis.x .tick text"), "x")
            ridges = [np.array(p) for _, p in card.locator("path.outline").evaluate_all(PATHS)]
            peaks = [x(points[points[:, 1].argmin(), 0]) for points in ridges]
            assert np.allclose(peaks, means, atol=0.15), "one ridge for each step"

    eventually(check)


def test_text(show: Callable[..., Page]) -> None:
    loader = show("text").locator("tf-text-loader", has_text="notes")
    paragraph = loader.locator("p", has_text="hedgehog")
    paragraph.wait_for()
    assert paragraph.inner_text() == "the bold hedgehog, lr=0.1"
    assert paragraph.locator("strong").inner_text() == "bold"
    assert paragraph.locator("code").inner_text() == "lr=0.1"
    assert loader.locator(".step-value").inner_text() == "3"


def test_pr_curves(show: Callable[..., Page]) -> None:
    page = show("pr_curves")
    precision, recall, _ = precision_recall_curve(*scores())
    logged = np.stack([recall, precision], axis=1)[:-1]  # the last point is scikit-learn's own

    def check() -> None:
        ((_, points),) = drawn(page.locator("tf-pr-curve-card", has_text="truck"))
        apart = np.abs(points[:, None] - logged[None]).max(axis=2)
        assert apart.min(axis=0).max() < 0.015, "every point of the curve is drawn"
        assert np.mean(apart.min(axis=1) < 0.015) > 0.9, "and nothing else"

    eventually(check)


def test_hparams(show: Callable[..., Page]) -> None:
    page = show("hparams")

    def check() -> None:
        cells = page.locator("tf-hparams-table-view vaadin-grid-cell-content").all_inner_texts()
        filled = [text.strip() for text in cells if text.strip()]
        assert filled[:2] == ["Trial ID", "Show Metrics"]
        assert filled[2:5] == ["batch", "rate", "accuracy"]
        rows = {filled[i]: [float(text) for text in filled[i + 1 : i + 4]] for i in (5, 9)}
        assert rows == {
            f"sweep/{name}": [batch, rate, accuracy]
            for name, (rate, batch, accuracy) in SWEEP.items()
        }

    eventually(check)


def test_projector(show: Callable[..., Page]) -> None:
    # One frame for the plugin, and inside it another one for the projector itself.
    projector = show("projector").frame_locator("iframe").frame_locator("iframe")
    # It does not centre the points before it looks for their principal components.
    variance = np.linalg.svd(embeddings(), compute_uv=False) ** 2
    described = f"{100 * variance[:3].sum() / variance.sum():.1f}%"
    projector.locator("#total-variance", has_text=f"described: {described}").wait_for()
    entries = projector.locator(".status-bar-entry")
    entries.filter(has_text=re.compile(r"Points:\s*40\b")).wait_for()
    entries.filter(has_text=re.compile(r"Dimension:\s*12\b")).wait_for()

    def sprites_are_drawn() -> None:
        picture = projector.locator("canvas").first.screenshot()
        pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
        assert (np.abs(pixels - PINK).max(axis=2) < 60).sum() > 40 * 8 * 8 / 4

    eventually(sprites_are_drawn)
    panel = projector.locator("vz-projector-inspector-panel")
    panel.locator("#search-box input").fill("point 07")
    panel.get_by_text("1 matches.").wait_for()
    nearest = np.argsort(cosine_distances(embeddings())[7])[1:6]

    def neighbours_are_named() -> None:
        named = re.findall(r"point \d\d", " ".join(panel.locator(".nn-list").all_inner_texts()))
        assert named[:5] == [f"point {n:02d}" for n in nearest]

    eventually(neighbours_are_named)
