"""Event files of two writers read back, whole and broken; images logged as they were meant."""

import os
import shutil
import struct
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorboardX
import torch
from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter, masked_crc32c
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from vizhelpers.images import normalize
from vizhelpers.scenes import load_scenes
from vizhelpers.tensorboard.events import read_histograms, read_images, read_scalars, read_texts
from vizhelpers.tensorboard.images import log_images

pytestmark = pytest.mark.filterwarnings("error")  # a warning is a problem that a test expects
both_writers = pytest.mark.parametrize("make", [SummaryWriter, tensorboardX.SummaryWriter])
Make = Callable[..., Any]


def event_file(folder: Path) -> Path:
    (file,) = folder.glob("*tfevents*")
    return file


def problems(read: Callable[[], Any]) -> tuple[Any, str]:
    """What is read, and the one warning about the rest."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = read()
    texts = [str(warning.message) for warning in caught]
    assert len(texts) <= 1
    assert all(Path(warning.filename) == Path(__file__) for warning in caught)
    return result, "".join(texts)


# -- reading ----------------------------------------------------------------------------------


@both_writers
def test_scalars_come_back_exactly(make: Make, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=5000) * 10.0 ** np.arange(-5, 5).repeat(500)
    with make(str(tmp_path)) as writer:
        for step, value in enumerate(values):
            writer.add_scalar("loss", value, 3 * step)
    steps, read = read_scalars(tmp_path)["."]["loss"]
    assert (steps.dtype, read.dtype) == (np.int64, np.float64)
    assert np.array_equal(steps, 3 * np.arange(5000))
    assert np.array_equal(read, values.astype(np.float32))


def test_nothing_is_sampled_away_and_all_equals_tensorboards_own_reader(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for step in range(12_000):  # EventAccumulator keeps 10,000 scalars by default, 4 images
            writer.add_scalar("a/loss", 1 / (step + 1), step)
        for step in range(12):
            writer.add_image("noise", torch.rand(3, 4, 5), step)
    own = event_accumulator.EventAccumulator(str(tmp_path), size_guidance={"scalars": 0}).Reload()
    steps, values = read_scalars(tmp_path)["."]["a/loss"]
    assert [(e.step, e.value) for e in own.Scalars("a/loss")] == list(
        zip(steps, values, strict=True)
    )
    assert len(steps) == 12_000
    assert [shot.step for shot in read_images(tmp_path)["."]["noise"]] == list(range(12))


def test_every_form_of_a_scalar(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for step, value in enumerate([0.1, float("nan"), float("inf")]):
            writer.add_scalar("old", value, step)
            writer.add_scalar("new", value, step, new_style=True)
            writer.add_scalar("double", value, step, new_style=True, double_precision=True)
        writer.add_scalar("no step", 1)
    tags = read_scalars(tmp_path)["."]
    single = [np.float32(0.1), np.nan, np.inf]
    assert np.array_equal(tags["old"].values, single, equal_nan=True)
    assert np.array_equal(tags["new"].values, single, equal_nan=True)
    assert np.array_equal(tags["double"].values, [0.1, np.nan, np.inf], equal_nan=True)
    assert tags["no step"].steps.tolist() == [0]


def test_only_the_first_value_of_a_tag_has_to_name_its_plugin(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("new", 1, 0, new_style=True)
        value = Summary.Value(tag="new")
        value.tensor.dtype, value.tensor.float_val[:] = 1, [2.0]
        writer.file_writer.add_event(Event(summary=Summary(value=[value])), 1)
    assert read_scalars(tmp_path)["."]["new"].values.tolist() == [1, 2]


def test_runs_are_named_as_on_the_page(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path / "b" / "deep") as writer:
        writer.add_scalar("loss", 1, 0)
        writer.add_scalars("both", {"train": 1.0, "val": 2.0}, 7)
        writer.add_hparams({"lr": 0.1}, {"accuracy": 0.5}, run_name="sweep")
    with SummaryWriter(tmp_path / "a") as writer:
        writer.add_text("only", "words")
    runs = read_scalars(tmp_path)
    expected = ["b/deep", "b/deep/both_train", "b/deep/both_val", "b/deep/sweep"]
    assert list(runs) == expected
    assert runs["b/deep/both_val"]["both"].values.tolist() == [2]
    assert runs["b/deep/sweep"]["accuracy"].values.tolist() == [0.5]
    assert list(read_scalars(tmp_path / "b" / "deep")) == [".", "both_train", "both_val", "sweep"]
    (alone,) = read_scalars(event_file(tmp_path / "b" / "deep"))
    assert alone == "."
    assert list(read_texts(tmp_path)) == ["a"]


def on_the_page(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """What TensorBoard itself makes of a folder, keeping every point."""
    page = EventMultiplexer(tensor_size_guidance={"scalars": 0})
    page.AddRunsFromDirectory(str(folder)).Reload()
    return {
        run: {
            tag: [(event.step, float(make_ndarray(event.tensor_proto))) for event in events]
            for tag in found["tensors"]
            for events in [page.Tensors(run, tag)]
        }
        for run, found in page.Runs().items()
    }


def read_as_points(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    return {
        run: {
            tag: list(zip(*(column.tolist() for column in points), strict=True))
            for tag, points in tags.items()
        }
        for run, tags in read_scalars(folder).items()
    }


@pytest.mark.parametrize(
    ("purges", "steps"),
    [
        ((None, None), [*range(5), *range(3, 8)]),
        ((None, 3), [*range(5), *range(3, 8)]),  # the first mark of a start is no restart
        ((0, 3), [0, 1, 2, *range(3, 8)]),
        ((0, None, 2), [0, 1, *range(2, 7)]),
    ],
)
def test_restarts_are_as_on_the_page(
    purges: tuple[int | None, ...], steps: list[int], tmp_path: Path
) -> None:
    for number, purge in enumerate(purges):
        start = 0 if not number else purge if purge is not None else 3
        with SummaryWriter(tmp_path / "one", purge_step=purge) as writer:
            for step in range(start, start + 5):
                writer.add_scalar("loss", 10 * number + step, step)
                writer.add_scalar("new", step, step, new_style=True)
        event_file(tmp_path / "one").rename(tmp_path / f"tfevents{number}")  # the order of names
    found = read_as_points(tmp_path)
    assert found == on_the_page(tmp_path)
    assert [step for step, _ in found["."]["loss"]] == steps


def test_a_start_in_the_middle_of_the_first_file_is_no_restart(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        for step in range(5):
            writer.add_scalar("loss", step, step)
            if step == 2:
                start = SessionLog(status=SessionLog.START)
                writer.file_writer.add_event(Event(step=0, session_log=start))
    found = read_as_points(tmp_path)
    assert found == on_the_page(tmp_path)
    assert len(found["."]["loss"]) == 5


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_links_are_followed_as_on_the_page(tmp_path: Path) -> None:
    logs, elsewhere = tmp_path / "logs", tmp_path / "elsewhere"
    for folder in (logs / "here", elsewhere / "deep", elsewhere):
        with SummaryWriter(folder) as writer:
            writer.add_scalar("loss", 1, 0)
    (logs / "there").symlink_to(elsewhere)
    (logs / "file").mkdir()
    (logs / "file" / "tfevents").symlink_to(event_file(elsewhere))
    found = read_as_points(logs)
    assert found == on_the_page(logs)
    assert list(found) == ["file", "here", "there", "there/deep"]
    (elsewhere / "circle").symlink_to(logs)
    assert read_as_points(logs) == found


@both_writers
def test_histograms_and_texts(make: Make, tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=1000)
    with make(str(tmp_path)) as writer:
        writer.add_histogram("weights", numbers, 4)
        writer.add_histogram("bins", numbers, 5, bins=np.linspace(-5, 5, 21))
        writer.add_text("note", "größer\n\n**bold**", 2)
    tags = read_histograms(tmp_path)["."]
    (histogram,) = tags["weights"]
    assert (histogram.step, histogram.counts.sum()) == (4, 1000)
    ends = [numbers.min(), numbers.max()]
    assert histogram.edges[[0, -1]] == pytest.approx(ends, rel=1e-6)
    (histogram,) = tags["bins"]
    counts, _ = np.histogram(numbers, np.linspace(-5, 5, 21))
    assert histogram.counts.tolist() == np.trim_zeros(counts).tolist()
    assert len(histogram.edges) == len(histogram.counts) + 1
    assert read_texts(tmp_path) == {".": {"note/text_summary": [(2, "größer\n\n**bold**")]}}


def test_several_images_of_a_new_style_value(tmp_path: Path) -> None:
    pictures = [np.full((2, 3, 3), shade, np.uint8) for shade in (10, 200)]
    with SummaryWriter(tmp_path / "old") as writer:
        for picture in pictures:
            writer.add_image("x", picture, dataformats="HWC")
    own = event_accumulator.EventAccumulator(str(tmp_path / "old")).Reload()
    encoded = [event.encoded_image_string for event in own.Images("x")]
    value = Summary.Value(tag="x")
    value.metadata.plugin_data.plugin_name = "images"
    value.tensor.dtype, value.tensor.string_val[:] = 7, [b"3", b"2", *encoded]
    value.tensor.tensor_shape.dim.add(size=4)
    with SummaryWriter(tmp_path / "new") as writer:
        writer.file_writer.add_event(Event(summary=Summary(value=[value])), 9)
    shots = read_images(tmp_path)["new"]["x"]
    assert [shot.step for shot in shots] == [9, 9]
    assert all(np.array_equal(s.image, p) for s, p in zip(shots, pictures, strict=True))


# -- what cannot be read ----------------------------------------------------------------------


def test_missing_folders_and_other_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere.*Paths count from"):
        read_scalars(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no event files in or below .*SummaryWriter"):
        read_scalars(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt' is no folder, and no event file"):
        read_scalars(tmp_path / "notes.txt")
    with pytest.raises(TypeError):
        read_scalars(SummaryWriter)  # type: ignore[arg-type]


@both_writers
def test_a_writer_that_has_not_been_flushed(make: Make, tmp_path: Path) -> None:
    writer = make(str(tmp_path))
    writer.add_scalar("loss", 1.0, 0)
    found, text = problems(lambda: read_scalars(tmp_path))
    assert found or "flush() or" in text  # the writer's thread may have been quick
    # tensorboardX's flush() does not wait for what is still in its queue.
    writer.flush() if make is SummaryWriter else writer.close()
    assert read_scalars(tmp_path)["."]["loss"].values.tolist() == [1]
    writer.close()


def test_nothing_written_yet_is_said_once_for_all_runs(tmp_path: Path) -> None:
    SummaryWriter(tmp_path).close()
    found, text = problems(lambda: read_scalars(tmp_path))
    assert found == {}
    assert "call writer.flush() or writer.close()" in text
    with SummaryWriter(tmp_path / "other") as writer:
        writer.add_scalar("loss", 1, 0)
    assert list(read_scalars(tmp_path)) == ["other"]


def test_cut_anywhere_gives_all_complete_records_and_says_so(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path / "whole") as writer:
        for step in range(150):
            writer.add_scalar("loss", step, step)
    whole = event_file(tmp_path / "whole").read_bytes()
    ends, place = [], 0
    while place < len(whole):  # a record: length, its checksum, data, its checksum
        place += 16 + struct.unpack_from("<Q", whole, place)[0]
        ends.append(place)
    ends = ends[1:]  # the first record is the file's version
    assert len(ends) == 150
    cut = tmp_path / "cut" / "tfevents"
    cut.parent.mkdir()
    for size in sorted({*range(0, len(whole), 100), *ends[::40], len(whole)}):
        cut.write_bytes(whole[:size])
        found, text = problems(lambda: read_scalars(cut.parent))
        complete = sum(end <= size for end in ends)
        values = found["."]["loss"].values.tolist() if found else []
        assert values == list(range(complete))
        if size in ends:
            assert text == ""
        elif size > ends[0]:
            assert f"tfevents: the last {size - ends[complete - 1]} of {size} bytes" in text
        else:
            assert text


def test_broken_and_foreign_files_are_named_and_the_others_read(tmp_path: Path) -> None:
    for name in ("a", "z"):
        with SummaryWriter(tmp_path / name) as writer:
            writer.add_scalar("loss", 1, 0)
            writer.add_scalar("loss", 2, 1)
        shutil.move(event_file(tmp_path / name), tmp_path / f"{name}.tfevents")
    flipped = bytearray((tmp_path / "a.tfevents").read_bytes())
    flipped[-6] ^= 1  # in the data of the last record
    (tmp_path / "b.tfevents").write_bytes(flipped)
    (tmp_path / "c.tfevents").write_bytes(b"")
    (tmp_path / "d.tfevents").write_bytes(bytes(range(256)) * 9)
    with (tmp_path / "e.tfevents").open("wb") as file:
        RecordWriter(file).write(b"\xff no event \xff")
    (tmp_path / "f.tfevents").mkdir()
    (tmp_path / "g.tfevents.profile-empty").touch()
    found, text = problems(lambda: read_scalars(tmp_path))
    assert found["."]["loss"].values.tolist() == [1, 2, 1, 1, 2]
    lines = text.splitlines()[1:]
    assert [line[:12] for line in lines] == [f"- {name}.tfevents" for name in "bcde"]
    words = ("damaged", "is empty", "is no event file", "another program wrote it")
    assert all(word in line for word, line in zip(words, lines, strict=True))


@pytest.mark.parametrize("length", [3 << 30, 1 << 62])
def test_a_record_of_absurd_length_is_not_believed(length: int, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", 1, 0)
    header = struct.pack("<Q", length)
    with event_file(tmp_path).open("ab") as file:
        file.write(header + struct.pack("<I", masked_crc32c(header)))
        file.truncate(file.tell() + min(length + 4, 4 << 30))  # a hole, where the system can
    tracemalloc.start()
    found, text = problems(lambda: read_scalars(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 1e8
    tracemalloc.stop()
    assert found["."]["loss"].values.tolist() == [1]
    assert "are cut off in the middle of a record" in text


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("x", torch.zeros(3, 2, 2), 0)
        for step, content in enumerate((b"no picture", postscript), start=5):
            image = Summary.Image(height=1, width=1, encoded_image_string=content)
            value = Summary.Value(tag="x", image=image)
            writer.file_writer.add_event(Event(summary=Summary(value=[value])), step)
    found, text = problems(lambda: read_images(tmp_path))
    assert [shot.step for shot in found["."]["x"]] == [0]
    for step in (5, 6):  # no program is started for the second
        assert f"'x' at step {step}: cannot identify" in text
    assert problems(lambda: read_scalars(tmp_path)) == ({}, "")


# -- writing ----------------------------------------------------------------------------------

RAMP = torch.linspace(0, 1, 147).view(3, 7, 7)
RGB = torch.rand(3, 6, 8, generator=torch.Generator().manual_seed(0))
GREY = RGB[:1]
PIXELS = (RGB * 255).round().to(torch.uint8).movedim(0, -1).numpy()
GREY_PIXELS = PIXELS[:, :, :1].repeat(3, axis=2)


def logged(make: Make, folder: Path, images: Any, **options: Any) -> np.ndarray:
    with make(str(folder)) as writer:
        log_images(writer, "x", images, 3, **options)
    (shot,) = read_images(folder)["."]["x"]
    assert shot.step == 3
    return shot.image


@both_writers
@pytest.mark.parametrize(
    ("image", "pixels"),
    [
        pytest.param(RGB, PIXELS, id="CHW"),
        pytest.param(RGB.movedim(0, -1), PIXELS, id="HWC"),
        pytest.param(RGB.numpy(), PIXELS, id="array CHW"),
        pytest.param(PIXELS, PIXELS, id="array HWC bytes"),
        pytest.param(PIXELS.astype(np.float64) / 255, PIXELS, id="float64"),
        pytest.param(torch.from_numpy(PIXELS).movedim(-1, 0), PIXELS, id="CHW bytes"),
        pytest.param(PIXELS[:, ::-1], PIXELS[:, ::-1], id="flipped array"),
        pytest.param(GREY, GREY_PIXELS, id="1HW"),
        pytest.param(GREY[0], GREY_PIXELS, id="HW"),
        pytest.param(GREY.movedim(0, -1), GREY_PIXELS, id="HW1"),
        pytest.param(RGB.requires_grad_(), PIXELS, id="with gradients"),
        pytest.param(Image.fromarray(PIXELS), PIXELS, id="Pillow"),
        pytest.param(Image.fromarray(PIXELS[:, :, 0]), GREY_PIXELS, id="Pillow grey"),
        pytest.param(GREY[0] > 0.5, (GREY_PIXELS > 127) * np.uint8(255), id="mask"),
    ],
)
def test_an_image_comes_back_as_it_was(
    make: Make, image: Any, pixels: np.ndarray, tmp_path: Path
) -> None:
    assert np.array_equal(logged(make, tmp_path, image), pixels)


@both_writers
def test_overshoot_by_rounding_is_clipped_not_wrapped(make: Make, tmp_path: Path) -> None:
    image = torch.tensor([-0.001, 1.001, 0.5, 1.0]).expand(3, 2, 4)
    assert logged(make, tmp_path, image)[0, :, 0].tolist() == [0, 255, 128, 255]


@both_writers
@pytest.mark.parametrize("form", ["NCHW", "NHWC", "list", "list of arrays", "N1HW", "mixed list"])
def test_several_images_become_a_grid_of_eight_to_a_row(
    make: Make, form: str, tmp_path: Path
) -> None:
    batch = torch.rand(11, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = batch
    images: Any = {"NCHW": batch, "NHWC": batch.movedim(1, -1), "list": list(batch)}.get(form)
    if form == "list of arrays":
        images = [image.movedim(0, -1).numpy() for image in batch]
    if form == "N1HW":
        images, expected = batch[:, :1], batch[:, :1].expand(-1, 3, -1, -1)
    if form == "mixed list":
        images, expected = [batch[0, 0], *batch[1:]], batch.clone()
        expected[0] = batch[0, 0]
    sheet = logged(make, tmp_path, images)
    assert sheet.shape == (2 * 4, 8 * 5, 3)
    for index, image in enumerate(expected):
        row, column = divmod(index, 8)
        tile = sheet[4 * row : 4 * row + 4, 5 * column : 5 * column + 5]
        assert np.array_equal(tile, (image * 255).round().byte().movedim(0, -1).numpy())
    assert not sheet[4:, 15:].any()


def test_normalized_images_are_put_right(tmp_path: Path) -> None:
    image = load_scenes("grid", limit=1).images[0]
    as_given = logged(SummaryWriter, tmp_path / "given", image)
    put_right = logged(SummaryWriter, tmp_path / "right", normalize(image), normalized=True)
    assert np.array_equal(put_right, as_given)
    assert np.array_equal(as_given, (image * 255).round().byte().movedim(0, -1).numpy())
    half = logged(
        SummaryWriter, tmp_path / "half", GREY.detach() * 2 - 1, normalized=([0.5], [0.5])
    )
    assert np.array_equal(half, GREY_PIXELS)


def test_nothing_is_changed_in_place(tmp_path: Path) -> None:
    image = normalize(RGB.detach())
    before = image.clone()
    logged(SummaryWriter, tmp_path / "a", image, normalized=True)
    assert torch.equal(image, before)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(3, 9, 3), r"in \[3, 9, 3\] the channels may come first or last.*add_image\("),
        (torch.rand(2, 3, 9, 1), r"add_images\(.*NCHW or NHWC"),
        (torch.rand(64, 7, 7), r"\[64, 7, 7\] has neither.*maps\[:, None\]"),
        (torch.rand(2, 64, 7, 7), r"has neither.*maps\[0\]\[:, None\]"),
        (torch.rand(4, 7, 7), r"Of RGBA, leave out A"),
        (torch.rand(7), r"must be \[H, W\], .*not \[7\]"),
        (torch.rand(0, 3, 7, 7), r"not \[0, 3, 7, 7\]"),
        (RAMP * 255, r"go from 0 to 255\..*divide by 255"),
        (RAMP - 0.5, r"go from -0\.5 to 0\.5\. .*normalized=True"),
        (RAMP + 0.1, r"to 1\.1\. .*\.clamp\(0, 1\)"),
        (torch.full((3, 7, 7), torch.nan), r"from nan to nan"),
        (torch.full((3, 7, 7), torch.inf), r"to inf"),
        (torch.randint(0, 255, (3, 7, 7)), r"not torch\.int64.*\.to\(torch\.uint8\)"),
        (torch.ones(7, 7, dtype=torch.uint8), r"end at 1, .* A mask: images\.bool\(\)"),
        (torch.full((7, 7), 20), r"end at 20, .*classes: images / images\.max\(\)"),
        ([torch.rand(3, 7, 7), torch.rand(3, 7, 8)], r"of one size, not \[\(7, 7, 3\), \(7, 8, 3"),
        ([torch.rand(2, 3, 7, 7)], r"A batch goes without a list"),
        ([], r"a list must hold images"),
    ],
)
def test_what_is_no_image_or_ambiguous_is_refused(images: Any, words: str, tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match=words):
        log_images(writer, "x", images, 0)
    assert problems(lambda: read_images(tmp_path))[0] == {}


def test_uint8_cannot_be_normalized(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match="must be floats"):
        log_images(writer, "x", PIXELS, 0, normalized=True)


def test_wrong_kinds(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="writer must be a SummaryWriter, not str"):
        log_images("runs", "x", RGB, 0)
    with SummaryWriter(tmp_path) as writer:
        for images, found in (
            ("cat.png", "str"),
            (7, "int"),
            (Tensor([1]).cfloat(), "complex"),
            (np.array(["a"]), "<U1"),
        ):
            with pytest.raises(TypeError, match=f"images must be a tensor, .* not .*{found}"):
                log_images(writer, "x", images, 0)
