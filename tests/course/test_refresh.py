"""``python -m vizhelpers refresh``: runs notebooks again and stores what stays the same."""

import base64
import io
import json
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from vizhelpers._utils.paths import ROOT
from vizhelpers.course.refresh import refresh, stored_form

SOURCES = (
    "%matplotlib inline\nimport matplotlib.pyplot as plt\nimport numpy as np",
    "plt.plot(np.random.default_rng(0).random(50));",
    "import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.05)",
    "import ipywidgets\nipywidgets.HTML('a widget')",
    "hash('the same in every run')",
)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook as somebody's Jupyter saved it, refreshed once."""
    cells = [new_markdown_cell("# A lesson"), *map(new_code_cell, SOURCES)]
    failing = new_code_cell("import json\njson.loads('{')", metadata={"tags": ["raises-exception"]})
    notebook = new_notebook(
        cells=[*cells, failing],
        metadata={
            "kernelspec": {"name": "mine", "display_name": "My Python", "language": "python"},
            "language_info": {"name": "python", "version": "3.99.0"},
            "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}},
        },
    )
    notebook.cells[1].metadata["execution"] = {"iopub.execute_input": "2020-01-01T00:00:00Z"}
    notebook.cells[2].outputs = [new_output("stream", name="stdout", text="stale")]
    path = tmp_path_factory.mktemp("lesson") / "lesson.ipynb"
    nbformat.write(notebook, path)
    assert refresh([path]) == [path]
    return path


def test_a_second_run_changes_no_byte(lesson: Path) -> None:
    before = lesson.read_bytes()
    assert "image/" in before.decode()
    assert refresh([lesson]) == []
    assert lesson.read_bytes() == before


def test_everything_was_run_and_is_stored(lesson: Path) -> None:
    code = [c for c in nbformat.read(lesson, 4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, 5, 6]
    assert [output.output_type for output in code[1].outputs] == ["display_data"], "and not stale"
    assert [output.text for output in code[2].outputs] == ["0\n1\n2\n"], "in one piece"
    assert code[3].outputs[0].data == {"text/plain": "HTML(value='a widget')"}
    assert code[5].outputs[0].ename == "JSONDecodeError"


def test_nothing_of_this_machine_is_stored(lesson: Path) -> None:
    text = lesson.read_text(encoding="utf-8")
    for trace in ("model_id", "3.99", "My Python", "2020-01-01", "ipykernel_", str(ROOT)):
        assert trace not in text
    assert "widgets" not in json.loads(text)["metadata"]
    traceback = "".join(nbformat.read(lesson, 4).cells[-1].outputs[0].traceback)
    assert "json/decoder.py" in traceback.replace("\\", "/")
    for folder in (sys.prefix, sys.base_prefix, str(Path.home())):
        assert f"{folder}/" not in traceback


def test_check_reports_and_writes_nothing(lesson: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.ipynb"
    changed.write_text(lesson.read_text(encoding="utf-8").replace("1\\n", "7\\n"), encoding="utf-8")
    before = changed.read_bytes()
    assert refresh([changed], check=True) == [changed]
    assert changed.read_bytes() == before


def test_an_error_names_the_notebook_and_the_cell(tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    cells = [new_markdown_cell("# Broken"), new_code_cell("x = 1"), new_code_cell("x / 0")]
    nbformat.write(new_notebook(cells=cells), path)
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=r"broken\.ipynb, cell 3 of 3: (.|\n)*ZeroDivisionError"):
        refresh([path])
    assert path.read_bytes() == before


def test_a_full_disk_leaves_the_notebook_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "lesson.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), path)
    before = path.read_bytes()

    def half(self: Path, text: str, **_: str) -> None:
        self.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(OSError, match="No space left"):
        refresh([path])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "folder",
    [
        "/opt/a/course/.venv/lib/python3.12/site-packages/",
        "~/a folder/.venv/lib/python3.11/site-packages/",
        "C:\\Users\\Ann B\\course\\.venv\\Lib\\site-packages\\",
        "C:\\Users\\Ann B\\AppData\\Local\\Programs\\Python\\Python312\\Lib\\",
        "/usr/lib/python3/dist-packages/",
        "/usr/lib/python3.13/",
    ],
)
def test_paths_in_tracebacks_are_shortened(folder: str) -> None:
    cell = new_code_cell("f()", execution_count=1)
    trace = f"\x1b[36mFile \x1b[39m\x1b[32m{folder}torch/nn.py:3\x1b[39m, in f(a / b)"
    cell.outputs = [new_output("error", ename="E", evalue="", traceback=[trace])]
    text = stored_form(new_notebook(cells=[cell]))
    kept = nbformat.reads(text, 4).cells[0].outputs[0].traceback
    assert kept == ["\x1b[36mFile \x1b[39m\x1b[32mtorch/nn.py:3\x1b[39m, in f(a / b)"]


def stored_picture(pixels: np.ndarray, mode: str = "RGB") -> tuple[str, Image.Image, float]:
    """What a file keeps of a picture: its kind, the picture, and its share of the PNG's bytes."""
    png = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(png, "png")
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": "<Picture>"}
    cell = new_code_cell("x", outputs=[new_output("display_data", data)])
    (kept,) = nbformat.reads(stored_form(new_notebook(cells=[cell])), 4).cells[0].outputs
    assert kept.data.pop("text/plain") == "<Picture>"
    ((mime, text),) = kept.data.items()
    encoded = base64.b64decode(text)
    return mime, Image.open(io.BytesIO(encoded)), len(encoded) / png.tell()


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_photo_is_stored_as_a_jpeg(mode: str) -> None:
    steps = np.arange(300)
    photo = np.stack([np.add.outer(steps, steps) // 4, np.hypot.outer(steps, steps) // 2], -1)
    noise = np.random.default_rng(0).integers(-4, 5, (300, 300, 3))
    photo = np.concatenate([photo, photo[..., :1]], -1).clip(10, 240) + noise
    mime, picture, share = stored_picture(photo.astype(np.uint8), mode)
    assert mime == "image/jpeg"
    assert share < 0.3
    assert np.abs(np.asarray(picture) - photo).mean() < 4


def test_noise_of_any_size_can_be_stored() -> None:
    # The hardest to encode: optimised by Pillow, "broken data stream when writing image file".
    noise = np.random.default_rng(0).integers(0, 256, (640, 1080, 3), np.uint8)
    mime, picture, _ = stored_picture(noise)
    assert (mime, picture.size) == ("image/jpeg", (1080, 640))


def test_what_a_jpeg_would_not_make_smaller_stays_exact() -> None:
    chart = np.full((200, 300, 3), 255, np.uint8)
    chart[20:180, 100:102] = 0, 114, 178
    clear = np.zeros((200, 300, 4), np.uint8)
    clear[..., 3] = np.random.default_rng(0).integers(0, 256, (200, 300))
    for pixels, mode in ((chart, "RGB"), (chart, "P"), (clear, "RGBA")):
        mime, picture, share = stored_picture(pixels, mode)
        assert (mime, picture.mode, share) == ("image/png", mode, 1)
