"""Runs: from event files back to numbers, and images into them as they are.

Belongs here: what reads the files that a SummaryWriter has written, and what gives a writer
the pixels that were meant. The server that shows them is in another room.
"""

from __future__ import annotations

import io
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vizhelpers.images import IMAGENET_MEAN, IMAGENET_STD, denormalize, load_image
from vizhelpers.waiting import with_progress

# Summaries without the name of a plugin: what torch's SummaryWriter makes by default.
_OLD_KINDS = {"simple_value": "scalars", "image": "images", "histo": "histograms"}
FRAME = 16  # bytes that a record of an event file has around its data: a length, two checksums

LogDir = str | os.PathLike[str]
Pixels = NDArray[np.uint8]
T = TypeVar("T")


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


class ImageWriter(Protocol):
    """A SummaryWriter of torch.utils.tensorboard or of tensorboardX."""

    def add_image(self, tag: Any, img_tensor: Any, global_step: Any, *, dataformats: Any) -> Any:
        """Write one image."""

    def add_images(self, tag: Any, img_tensor: Any, global_step: Any, *, dataformats: Any) -> Any:
        """Write a batch of images as one."""


def read_scalars(logdir: LogDir) -> dict[str, dict[str, Series]]:
    """Read every scalar below a folder, without leaving any out.

    ``read_scalars("runs")["small"]["loss"].values`` is the curve ``loss`` of the run in
    ``runs/small``. As on TensorBoard's page, a run is a folder with event files, so
    ``add_scalars`` and ``add_hparams`` make runs of their own. TensorBoard's page thins out long
    curves, and `EventAccumulator` does by default; here each value that was written is there.

    Values are float32 in the file unless ``double_precision=True`` wrote them, so 0.1 comes
    back as 0.10000000149. Nothing is sorted: a restart that repeats steps gives them twice,
    unless its writer said ``purge_step``, which drops what was there from that step on.

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
    return {
        run: {
            tag: Series(
                np.array([step for step, _ in pairs], np.int64),
                np.array([value for _, value in pairs], np.float64),
            )
            for tag, pairs in tags.items()
        }
        for run, tags in _read(logdir, "scalars", _scalar).items()
    }


def read_images(logdir: LogDir) -> dict[str, dict[str, list[Shot]]]:
    """Read every image below a folder; figures and video (its first frame) are images, too.

    All as in `read_scalars`. Grey images come back as RGB, as writers store them; an alpha
    channel is dropped.
    """
    return _wrap(Shot, _read(logdir, "images", _images))


def read_histograms(logdir: LogDir) -> dict[str, dict[str, list[Bins]]]:
    """Read every histogram below a folder, in the bins of the file (rounded to float32).

    All as in `read_scalars`. Empty bins at both ends are left out, and the outermost edges are
    the smallest and the largest value, as TensorBoard draws them.
    """
    found = _read(logdir, "histograms", _histogram)
    return {
        run: {tag: [Bins(step, *pair) for step, pair in pairs] for tag, pairs in tags.items()}
        for run, tags in found.items()
    }


def read_texts(logdir: LogDir) -> dict[str, dict[str, list[Note]]]:
    """Read every text below a folder, as in `read_scalars`.

    ``add_text("words", …)`` writes it under the tag ``words/text_summary``.
    """
    return _wrap(Note, _read(logdir, "text", _text))


# -- reading ----------------------------------------------------------------------------------


def _wrap(
    make: Callable[[int, Any], T], found: Mapping[str, Mapping[str, list[tuple[int, Any]]]]
) -> dict[str, dict[str, list[T]]]:
    return {
        run: {tag: [make(*pair) for pair in pairs] for tag, pairs in tags.items()}
        for run, tags in found.items()
    }


def _read(
    logdir: LogDir, kind: str, convert: Callable[[Any], Sequence[T]]
) -> dict[str, dict[str, list[tuple[int, T]]]]:
    """All values of one kind, {run: {tag: [(step, value), …]}}, in one pass over the files.

    Not by `EventAccumulator`, which stands on the same loader: it stops in silence where a file
    is damaged, and gives up the whole run where a file holds something else.
    """
    folder, files = _event_files(logdir)
    found: dict[str, dict[str, list[tuple[int, T]]]] = {}
    problems: list[str] = []
    anything = False
    plugins: dict[tuple[str, str], str] = {}
    for path in with_progress(files, "event files"):
        name = path.relative_to(folder).as_posix()
        run = path.parent.relative_to(folder).as_posix()
        tags = found.setdefault(run, defaultdict(list))
        for event in _events(path, name, problems):
            if event.HasField("session_log") and event.session_log.status == 1:  # START
                for pairs in tags.values():  # a writer with purge_step: what it will repeat goes
                    pairs[:] = [pair for pair in pairs if pair[0] < event.step]
            for value in event.summary.value:
                anything = True
                # Only the first value of a tag has to name its plugin.
                plugin = _OLD_KINDS.get(value.WhichOneof("value")) or plugins.setdefault(
                    (run, value.tag), value.metadata.plugin_data.plugin_name
                )
                if plugin != kind:
                    continue
                try:
                    tags[value.tag] += [(event.step, item) for item in convert(value)]
                except (OSError, TypeError, ValueError) as error:
                    problems.append(f"{name}: {value.tag!r} at step {event.step}: {error}")
    if not anything:
        problems.append(
            "No values are there yet. A writer keeps them for a while: "
            "call writer.flush() or writer.close() first."
        )
    if problems:
        lines = "\n".join(f"- {problem}" for problem in problems)
        warnings.warn(f"Not all of '{folder}' could be read:\n{lines}", stacklevel=3)
    kept = {
        run: {tag: pairs for tag, pairs in tags.items() if pairs} for run, tags in found.items()
    }
    return {run: kept[run] for run in sorted(kept) if kept[run]}


def _event_files(logdir: LogDir) -> tuple[Path, list[Path]]:
    """The folder and its event files, in the order in which they are to be read."""
    if not isinstance(logdir, str | os.PathLike):
        raise TypeError(
            f"logdir must be the path of a folder, not {type(logdir).__name__}. "
            "A writer's is writer.log_dir."
        )
    path = Path(logdir).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"there is no '{path}'. Paths count from '{Path.cwd()}'.")
    if path.is_file():
        if "tfevents" not in path.name:
            raise NotADirectoryError(
                f"'{path}' is neither a folder nor an event file, whose name has 'tfevents' in it."
            )
        return path.parent, [path]
    # By name, which begins with the time, as TensorBoard does.
    files = sorted(file for file in path.rglob("*tfevents*") if file.is_file())
    files = [file for file in files if file.suffix != ".profile-empty"]  # a profiler's mark
    if not files:
        raise FileNotFoundError(
            f"there are no event files in '{path}' or below it. Give the folder that "
            "SummaryWriter(log_dir=…) was given; without one it writes to 'runs'."
        )
    return path, files


def _events(path: Path, name: str, problems: list[str]) -> Iterator[Any]:
    """The events of one file as far as they can be read; why not further is added to problems."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader  # type: ignore[import-untyped]
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]

    consumed = 0
    try:
        size = path.stat().st_size  # before reading: a file may still grow
        for record in RawEventFileLoader(str(path)).Load():
            yield Event.FromString(record)
            consumed += len(record) + FRAME
    except DecodeError:
        problems.append(f"{name}: has other records than events; it is another program's file.")
    except OSError as error:
        problems.append(f"{name}: cannot be opened ({error.strerror}).")
    else:
        if not size:
            problems.append(f"{name}: is empty. Nothing was flushed, or the disk was full.")
        elif not consumed:
            problems.append(f"{name}: is no event file, or damaged from its first byte on.")
        elif consumed < size:
            problems.append(
                f"{name}: the last {size - consumed} of {size} bytes are cut off in the middle of "
                "a record (training was killed, or is still writing) or damaged."
            )


def _array(value: Any) -> NDArray[Any]:
    from tensorboard.util.tensor_util import make_ndarray  # type: ignore[import-untyped]

    return np.asarray(make_ndarray(value.tensor))


def _scalar(value: Any) -> list[float]:
    old = value.HasField("simple_value")
    return [value.simple_value if old else float(_array(value).item())]


def _images(value: Any) -> list[Pixels]:
    # A tensor holds width, height and one or more encoded images.
    old = value.HasField("image")
    encoded = [value.image.encoded_image_string] if old else _array(value)[2:]
    return [np.array(Image.open(io.BytesIO(file)).convert("RGB")) for file in encoded]


def _histogram(value: Any) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    from tensorboard.data_compat import migrate_value  # type: ignore[import-untyped]

    # [B, 3]: left edge, right edge, count
    table = _array(migrate_value(value)).astype(np.float64)
    return [(np.append(table[:, 0], table[-1:, 1]), table[:, 2])]


def _text(value: Any) -> list[str]:
    return ["\n".join(part.decode(errors="replace") for part in _array(value).ravel())]


# -- writing ----------------------------------------------------------------------------------


def log_images(
    writer: ImageWriter,
    tag: str,
    images: Any,
    step: int,
    *,
    normalized: bool | tuple[Sequence[float], Sequence[float]] = False,
) -> None:
    """Give a SummaryWriter one image or several, so that TensorBoard shows what they are.

    ``add_image`` must be told the order of the dimensions, takes any numbers and goes by their
    dtype alone: what is not in [0, 1] comes out white or black (with tensorboardX in wild
    colours). Here the order is told from the shape, floats are rounded to 0…255, and what could
    mean two things is refused.

    [3, H, W] is one RGB image. Three maps of a layer have that shape, too: log them, like any
    other number of maps, as ``maps[:, None]``, [3, 1, H, W].

    Args:
        writer: Of torch.utils.tensorboard or tensorboardX.
        tag: The name on the page. Several images become one, eight to a row, as ``add_images``
            does.
        images: [H, W], [C, H, W] or [H, W, C]; several as [N, C, H, W], [N, H, W, C] or a list
            of images of one size. Tensors, arrays or Pillow images with one or three channels;
            floats in [0, 1], uint8 or bool. Never changed in place.
        step: Where they belong on the slider.
        normalized: ``True`` where ImageNet's mean and standard deviation were taken out (by
            `normalize`, say), or ``(mean, std)``: they are put back first.

    Raises:
        TypeError: ``writer`` has no ``add_images``, or ``images`` are of another kind.
        ValueError: a shape, dtype or range that is no image, or may be two different ones.
    """
    if not hasattr(writer, "add_images"):
        raise TypeError(f"writer must be a SummaryWriter, not {type(writer).__name__}.")
    if isinstance(images, list | tuple):
        pixels = [_pixels(image, normalized) for image in images]
        if not pixels or any(image.ndim != 3 for image in pixels):
            raise ValueError("a list must hold images, at least one; a batch goes without a list.")
        sizes = sorted({image.shape[:2] for image in pixels})
        if len(sizes) > 1:
            found = ", ".join(f"{height} × {width}" for height, width in sizes)
            raise ValueError(
                f"images of one tag must have one size, but these are {found} (height × width). "
                "Resize them, or log each with a tag of its own."
            )
        batch = np.stack(pixels)
    else:
        batch = _pixels(images, normalized)
    if batch.ndim == 3:
        writer.add_image(tag, batch, step, dataformats="HWC")
    else:
        writer.add_images(tag, batch, step, dataformats="NHWC")


def _pixels(images: Any, normalized: bool | tuple[Sequence[float], Sequence[float]]) -> Pixels:
    """uint8 [H, W, 3] or [N, H, W, 3]."""
    if isinstance(images, Image.Image):
        images = load_image(images)
    if isinstance(images, np.ndarray) and images.dtype.kind in "biuf":
        images = torch.from_numpy(np.ascontiguousarray(images))
    if not isinstance(images, Tensor) or images.is_complex():
        raise TypeError(
            "images must be a tensor, an array, a Pillow image or a list of these, "
            f"not {getattr(images, 'dtype', type(images).__name__)}."
        )
    values = _channels_first(images.detach().cpu())
    if normalized is not False:
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalized is True else normalized
        values = denormalize(values, mean, std)
    values = _bytes(values)
    return values.expand(*values.shape[:-3], 3, -1, -1).movedim(-3, -1).contiguous().numpy()


def _channels_first(images: Tensor) -> Tensor:
    """[C, H, W] or [N, C, H, W] with one or three channels, from the shape alone."""
    shape = list(images.shape)
    if images.numel() and images.ndim == 2:
        return images[None]
    if not images.numel() or images.ndim not in (3, 4):
        raise ValueError(
            "images must be [H, W], [C, H, W], [H, W, C], [N, C, H, W] or [N, H, W, C], "
            f"not {shape}."
        )
    first, last = shape[-3] in (1, 3), shape[-1] in (1, 3)
    if first and last:
        orders = '"CHW" or "HWC"' if images.ndim == 3 else '"NCHW" or "NHWC"'
        method = "add_image" if images.ndim == 3 else "add_images"
        raise ValueError(
            f"in {shape} the channels may come first or last. Say it to the writer itself: "
            f"writer.{method}(tag, images, step, dataformats={orders})."
        )
    if first or last:
        return images if first else images.movedim(-1, -3)
    if 4 in (shape[-3], shape[-1]):
        hint = "Of RGBA, leave out the fourth. Four maps of a layer: "
    else:
        hint = "Maps of a layer are grey images, one each: "
    hint += "maps[:, None]." if images.ndim == 3 else "maps[0][:, None] for those of the first."
    raise ValueError(f"images have one or three channels, but {shape} has neither. {hint}")


def _bytes(values: Tensor) -> Tensor:
    """uint8 from bool, uint8 or floats in [0, 1]."""
    if values.dtype == torch.uint8:
        return values
    if values.dtype == torch.bool:
        return values.to(torch.uint8) * 255
    if not values.is_floating_point():
        raise ValueError(
            f"images must be uint8 or floats in [0, 1], not {values.dtype}. If they go from 0 to "
            "255, convert them: images.to(torch.uint8), of an array images.astype(np.uint8)."
        )
    values = values.float()
    low, high = (float(value) for value in values.aminmax())
    half = 0.5 / 255  # what rounds to 0 or 255 anyway
    if not (low >= -half and high <= 1 + half):
        raise ValueError(
            f"floats must be in [0, 1], but these go from {low:.3g} to {high:.3g}. "
            + _advice(low, high)
        )
    return (values * 255).round().clamp(0, 255).to(torch.uint8)


def _advice(low: float, high: float) -> str:
    if not (np.isfinite(low) and np.isfinite(high)):
        return "They hold NaN or infinity: look where these come from."
    scale = "Maps or kernels have no range of their own: (x - x.min()) / (x.max() - x.min())."
    if low < 0:
        return f"A network's input? Say normalized=True, or normalized=(mean, std). {scale}"
    if 2 < high <= 255:
        return f"If they go from 0 to 255, divide by 255. {scale}"
    return f"An image a little too bright: images.clamp(0, 1). {scale}"
