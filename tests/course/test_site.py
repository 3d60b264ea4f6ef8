"""What the site is made of: pages, alternative texts, links. The finished site: tests/browser."""

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from vizhelpers._utils.paths import NOTEBOOKS, ROOT
from vizhelpers.course.alt_texts import alt_texts, picture_of
from vizhelpers.course.refresh import all_notebooks
from vizhelpers.course.site import sources
from vizhelpers.course.site.build import build_site

PICTURE, WIDGET = "image/png", "application/vnd.jupyter.widget-view+json"


def text(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def code(source: str, *outputs: dict[str, str]) -> NotebookNode:
    shown = [nbformat.v4.new_output("display_data", data) for data in outputs]
    return nbformat.v4.new_code_cell(source, outputs=shown)


def notebook(*cells: NotebookNode) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=list(cells))


@pytest.mark.parametrize("path", all_notebooks(), ids=lambda p: f"{p.parent.stem}-{p.stem}")
def test_every_stored_picture_is_told_in_words(path: Path) -> None:
    stored = nbformat.read(path, as_version=4)
    pictures = [o for cell in stored.cells for o in cell.get("outputs", []) if picture_of(o)]
    told = [picture.metadata[picture_of(picture)]["alt"] for picture in pictures]
    assert told == alt_texts(stored), "`python -m vizhelpers refresh` stores them"
    bare = [words for words in told if len(words.split(": ", 1)[-1].split()) < 2]
    assert not bare, f"says too little; give the picture a title: {bare}"


def test_a_picture_is_told_by_its_titles_then_its_labels_then_the_text_above() -> None:
    plot = 'ax.set_title("the loss of A"); ax.plot(x, label="of the training")'
    chart = 'scores = {"fair twin": a}\nscores["x"] = {f"{n} at home": b}\nvh.show_scores(scores)'
    above = "What *stands* above.\n\nSo here it `is`. Whose is it? (Or was it?) A b:\n\n- no"
    told = alt_texts(
        notebook(
            text(f"# Title\n\n## A [section](x.html)\n\n{above}"),
            code("show(maps)", {PICTURE: "", "text/plain": "<Picture first map, second map, 3>"}),
            code("show(nine)", {PICTURE: "", "text/plain": "<Picture red car, red car, cat>"}),
            code("picker", {PICTURE: "", "text/plain": "<LayerPicker: conv1, kernel 3 shown>"}),
            code(plot, {PICTURE: "", "text/plain": "<Figure size 1 with 1 Axes>"}),
            code(chart, {PICTURE: "", "text/plain": "<Picture >"}),
            code('ax.set_title("loss")', {PICTURE: ""}),
            code("%matplotlib inline\nx", {PICTURE: ""}, {PICTURE: ""}),
        )
    )
    assert told == [
        "A section: first map, second map, 3",
        "A section: 2 times red car, cat",
        "A section: LayerPicker: conv1, kernel 3",
        "A section: the loss of A, of the training",
        "A section: fair twin, … at home",
        "A section: loss. So here it is. A b",
        "A section (1 of 2): So here it is. A b",
        "A section (2 of 2): So here it is. A b",
    ]


def test_a_notebook_becomes_a_page_that_says_how_to_run_it() -> None:
    touched = {PICTURE: "", WIDGET: "{}", "text/plain": "<PaintOver: nothing painted shown>"}
    folded = code("1 + 1", {"text/plain": "2"})
    folded.metadata["jupyter"] = {"outputs_hidden": True}
    page = sources.as_page(
        notebook(text("# Title\nText"), code("x", touched), folded), "nb/a.ipynb"
    )
    title, widget, fold = page.cells
    first, *_, last = title.source.splitlines()
    assert (first, last) == ("# Title", "Text")
    assert "python -m vizhelpers open nb/a.ipynb" in title.source
    assert [sorted(output.data) for output in widget.outputs] == [
        [PICTURE, "text/plain"],
        ["text/html"],
    ]
    assert fold.metadata["tags"] == ["hide-output"]
    assert len(fold.outputs) == 1


def test_reading_order() -> None:
    order = [path.relative_to(NOTEBOOKS).as_posix() for path in sources.reading_order()]
    assert order[0] == "00_start_here.ipynb"
    numbers = [path.rsplit("/", 1)[-1][:2] for path in order]
    assert numbers == sorted(numbers)
    for number in set(numbers):
        of_it = [path for path in order if f"/{path}".rsplit("/", 1)[1].startswith(number)]
        assert of_it == sorted(of_it, key=lambda path: path.startswith("in_depth/"))


@pytest.mark.parametrize(
    ("link", "led"),
    [
        ("[a](../LICENSE)", "[a](../LICENSE.md)"),
        ("[a](../README.md)", "[a](../index.md)"),
        ("[a](in_depth)", "[a](in_depth/index.md)"),
        ("[a](log_my_training.py)", "[a](log_my_training.py)"),
        ('<img src="pictures/paint_over.png">', '<img src="pictures/paint_over.png">'),
        ("[a](https://example.org/LICENSE)", "[a](https://example.org/LICENSE)"),
    ],
)
def test_links_of_a_text(
    link: str, led: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = NOTEBOOKS / "invented.md"
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda p, **options: link if p == place else read(p, **options)
    )
    assert sources._text(place, tmp_path) == led
    copied = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert copied == [name for name in ("log_my_training.py", "paint_over.png") if name in link]


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    kept = tmp_path / "thesis.txt"
    kept.write_text("mine", encoding="utf-8")
    for out in (tmp_path, kept):
        with pytest.raises(FileExistsError, match="left as it is"):
            build_site(out)
    assert kept.read_text(encoding="utf-8") == "mine"
    assert (ROOT / "README.md").is_file()
