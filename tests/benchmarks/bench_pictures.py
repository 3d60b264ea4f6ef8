"""How much faster one mosaic is than one subplot for each tile, from tensor to PNG bytes.

Run: ``python tests/benchmarks/bench_pictures.py``. Prints ratios, which carry over to other
machines, unlike the times. Nothing fails here.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from matplotlib.figure import Figure
from torch import Tensor

from vizhelpers.figures import to_png
from vizhelpers.plotting import PLAIN_MAP, show_mosaic

ROUNDS = 5


def subplots(tiles: Tensor, *, ticks: bool) -> Figure:
    """One axes for each tile, as in most tutorials; the same size as the mosaic's figure."""
    side = round(len(tiles) ** 0.5)
    figure = Figure(figsize=show_mosaic(tiles).figure.get_size_inches(), dpi=100)
    for tile, ax in zip(tiles, figure.subplots(side, side).flat, strict=True):
        ax.imshow(tile.movedim(0, -1) if tile.ndim == 3 else tile, cmap=PLAIN_MAP)
        if not ticks:
            ax.axis("off")
    return figure


def seconds(draw: Callable[[], object]) -> float:
    """CPU time of the fastest round: what else the machine does counts least so."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        to_png(draw())
        times.append(time.process_time() - start)
    return min(times)


def rows() -> Iterator[tuple[str, str, str, str]]:
    """What, against what, the goal, and what was measured."""
    torch.manual_seed(0)
    cases = {
        "100 feature maps, 56 × 56": torch.rand(100, 56, 56),
        "64 RGB kernels, 7 × 7": torch.rand(64, 3, 7, 7),
    }
    for name, tiles in cases.items():
        ours = seconds(partial(show_mosaic, tiles))
        for ticks, words, goal in ((True, "ticks on", "≥ 20 ×"), (False, "axes off", "≥ 8 ×")):
            theirs = seconds(partial(subplots, tiles, ticks=ticks))
            ratio = f"{theirs / ours:.1f} × ({1000 * ours:.0f} ms)"
            yield f"mosaic of {name}: faster", f"one subplot each, {words}", goal, ratio


def main() -> None:
    for what, against, goal, measured in rows():
        print(f"{what} than {against}: {measured} (goal {goal})")


if __name__ == "__main__":
    main()
