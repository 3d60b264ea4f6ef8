"""File paths of the course: its data, weights, images and notebooks; files written beside."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "data"
WEIGHTS = DATA / "weights"
IMAGES = DATA / "images"
NOTEBOOKS = ROOT / "notebooks"


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of `path` at the end of the block.

    A full disk, an error or Ctrl-C leaves the old file as it was.
    """
    draft = path.with_name(f".new-{path.name}")
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make a folder for files that take long to compute, and see that it takes some.

    Raises:
        OSError: it cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
