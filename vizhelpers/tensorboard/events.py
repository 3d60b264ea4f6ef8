"""Read TensorBoard event files back: scalars, images, histograms and texts."""

from __future__ import annotations

import io
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers._utils.messages import callers_level
from vizhelpers._utils.progress_bar import with_progress

# Summaries without the name of a plugin: what torch's SummaryWriter makes by default.
_OLD_KINDS = {"simple_value": "scalars", "image": "images", "histo": "histograms"}

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")  # what writers write; no program is started
_AROUND = 16  # bytes of a record's length and its two checksums
_LONGEST = 1 << 28  # no event is longer; the reader would make room for it before it looks

Pixels = NDArray[np.uint8]
LogDir = str | os.PathLike[str]
Item = TypeVar("Item", bound=tuple[Any, ...])  # its first entry is the step


class Series(NamedTuple):
    """A curve: ``steps`` int64 [N], ``values`` float64 [N], in the order they were written."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


class Shot(NamedTuple):
    """An image at a step: uint8 [H, W, 3]."""

    step: int
    image: Pixels


class Bins(NamedTuple):
    """A histogram at a step: ``counts`` [B] between neighbouring ``edges`` [B + 1]."""

    step: int
    edges: NDArray[np.float64]
    counts: NDArray[np.float64]


class Note(NamedTuple):
    """A text at a step."""

    step: int
    text: str


@clear_errors
def read_scalars(logdir: LogDir) -> dict[str, dict[str, Series]]:
    """Read every scalar below a folder, without leaving any out.

    ``read_scalars("runs")["small"]["loss"].values`` is the curve ``loss`` of the run in
    ``runs/small``. As on TensorBoard's page, a run is a folder with event files, so
    ``add_scalars`` and ``add_hparams`` make runs of their own. TensorBoard's page thins out long
    curves, and `EventAccumulator` does by default; here each value that was written is there.

    Values are float32 in the file, so 0.1 comes back as 0.10000000149, unless ``add_scalar`` was
    told ``new_style=True, double_precision=True``. Nothing is sorted: a restart that repeats
    steps gives them twice, as on the page. A writer with ``purge_step`` drops what was there from
    that step on, unless it is the first such one in its run: the page, too, takes the first mark
    of a start for the beginning.

    Args:
        logdir: The folder that a SummaryWriter was given, or one above it, or one event file.

    Returns:
        ``{run: {tag: Series(steps, values)}}``. Runs are named as on TensorBoard's page: the
        folder relative to ``logdir``, with ``/``; ``"."`` is ``logdir`` itself. Runs are sorted;
        those without a scalar are not there.

    Raises:
        TypeError: ``logdir`` is no path.
        FileNotFoundError: there is no such folder, or no event file in it.
        NotADirectoryError: it is a file of another kind.

    Warns:
        UserWarning: files are empty, cut off, damaged or foreign: what can be read is
            returned, and the rest is named.
    """
    runs = _read(logdir, "scalars", _points)
    return {
        run: {
            tag: Series(*(np.array(column) for column in zip(*points, strict=True)))
            for tag, points in tags.items()
        }
        for run, tags in runs.items()
    }


@clear_errors
def read_images(logdir: LogDir) -> dict[str, dict[str, list[Shot]]]:
    """Read every image below a folder; figures and video (its first frame) are images, too.

    All as in `read_scalars`. Grey images come back as RGB, as writers store them; an alpha
    channel is dropped.
    """
    return _read(logdir, "images", _shots)


@clear_errors
def read_histograms(logdir: LogDir) -> dict[str, dict[str, list[Bins]]]:
    """Read every histogram below a folder, in the bins of the file (rounded to float32).

    All as in `read_scalars`. Empty bins at both ends are left out, and the outermost edges are
    the smallest and the largest value, as TensorBoard draws them.
    """
    return _read(logdir, "histograms", _bins)


@clear_errors
def read_texts(logdir: LogDir) -> dict[str, dict[str, list[Note]]]:
    """Read every text below a folder, as in `read_scalars`.

    ``add_text("words", …)`` writes it under the tag ``words/text_summary``.
    """
    return _read(logdir, "text", _notes)


# -- reading ----------------------------------------------------------------------------------


def _read(
    logdir: LogDir, kind: str, convert: Callable[[int, Any], list[Item]]
) -> dict[str, dict[str, list[Item]]]:
    """All values of one kind, {run: {tag: [(step, …), …]}}, in one pass over the files.

    Over the loader of files on which `EventAccumulator` stands, too. That one stops in silence
    where a file is damaged, and gives up the whole run where a file holds something else.
    """
    folder, files = _run_files(logdir)
    found: dict[str, dict[str, list[Item]]] = {}
    plugins: dict[tuple[str, str], str] = {}
    started: set[str] = set()
    problems: list[str] = []
    written = False
    for path in with_progress(files, "event files"):
        name = path.relative_to(folder).as_posix()
        run = path.parent.relative_to(folder).as_posix()
        tags = found.setdefault(run, defaultdict(list))
        for event in _events(path, name, problems):
            written |= event.WhichOneof("what") != "file_version"
            if event.HasField("session_log") and event.session_log.status == 1:  # START
                for items in tags.values() if run in started else ():  # which it will repeat
                    items[:] = [item for item in items if item[0] < event.step]
                started.add(run)
            for value in event.summary.value:
                # Only the first value of a tag has to name its plugin.
                plugin = _OLD_KINDS.get(value.WhichOneof("value")) or plugins.setdefault(
                    (run, value.tag), value.metadata.plugin_data.plugin_name
                )
                try:
                    if plugin == kind:
                        tags[value.tag] += convert(event.step, value)
                except Exception as error:  # each of Pillow's decoders has its own way to fail
                    problems.append(f"{name}: {value.tag!r} at step {event.step}: {error}")
    if not written and not problems:
        problems.append("No values are there yet: call writer.flush() or writer.close() first.")
    if problems:
        lines = "\n".join(f"- {problem}" for problem in problems)
        text = f"Not all of '{folder}' could be read:\n{lines}"
        warnings.warn(text, stacklevel=callers_level())
    kept = {run: {t: items for t, items in tags.items() if items} for run, tags in found.items()}
    return {run: kept[run] for run in sorted(kept) if kept[run]}


def _run_files(logdir: LogDir) -> tuple[Path, list[Path]]:
    """The folder and its event files, in the order in which they are to be read."""
    path = Path(logdir).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no '{path}'. Paths count from '{Path.cwd()}'.")
    if path.is_file():
        if "tfevents" in path.name:
            return path.parent, [path]
        raise NotADirectoryError(f"'{path}' is no folder, and no event file (…tfevents…) either.")
    files = list(event_files(path))
    if not files:
        raise FileNotFoundError(
            f"there are no event files in or below '{path}'. Give the folder that a "
            "SummaryWriter was given (log_dir); without one it writes to 'runs'."
        )
    return path, files


def event_files(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """The event files of a folder and those below it, links to folders included, as on the page."""
    if (real := folder.resolve()) in above:  # a link leads in a circle
        return
    # By name, which begins with the time, as TensorBoard does.
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from event_files(path, (*above, real))
        elif path.is_file() and "tfevents" in path.name and path.suffix != ".profile-empty":
            yield path


def _events(path: Path, name: str, problems: list[str]) -> Iterator[Any]:
    """The events of one file as far as they can be read; why not further is added to problems."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]

    consumed = 0
    try:
        size = path.stat().st_size  # before reading: a file may still grow
        records = RawEventFileLoader(str(path)).Load()
        with path.open("rb") as file:
            while _length(file, consumed) <= min(_LONGEST, size - consumed - _AROUND):
                if (record := next(records, None)) is None:
                    break
                yield Event.FromString(record)
                consumed += len(record) + _AROUND
        if not size:
            problems.append(f"{name}: is empty. If its writer lives, call its flush() or close().")
        elif not consumed:
            problems.append(f"{name}: is no event file, or damaged from its first byte on.")
        elif consumed < size:
            problems.append(
                f"{name}: the last {size - consumed} of {size} bytes are cut off in the middle of "
                "a record (training was killed, or is still writing) or damaged."
            )
    except DecodeError:
        problems.append(f"{name}: holds other records than events; another program wrote it.")
    except OSError as error:
        problems.append(f"{name}: cannot be opened ({error.strerror}).")


def _length(file: IO[bytes], place: int) -> int:
    """What the record at some place says of its length, before it is believed."""
    file.seek(place)
    return int.from_bytes(file.read(8), "little")


def _array(value: Any) -> NDArray[Any]:
    """The tensor of a value, whatever writer it is from."""
    from tensorboard.data_compat import migrate_value  # type: ignore[import-untyped]
    from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]

    return np.asarray(make_ndarray(migrate_value(value).tensor))


def _points(step: int, value: Any) -> list[tuple[int, float]]:
    # Most values of a file are these; through a tensor each would take ten times as long.
    old = value.HasField("simple_value")
    return [(step, value.simple_value if old else float(_array(value).item()))]


def _shots(step: int, value: Any) -> list[Shot]:
    files = _array(value)[2:]  # after width and height
    images = (Image.open(io.BytesIO(file), formats=_FORMATS).convert("RGB") for file in files)
    return [Shot(step, np.array(image)) for image in images]


def _bins(step: int, value: Any) -> list[Bins]:
    table = _array(value).astype(np.float64)  # [B, 3]: left edge, right edge, count
    return [Bins(step, np.append(table[:, 0], table[-1:, 1]), table[:, 2])]


def _notes(step: int, value: Any) -> list[Note]:
    lines = (part.decode(errors="replace") for part in _array(value).ravel())
    return [Note(step, "\n".join(lines))]
