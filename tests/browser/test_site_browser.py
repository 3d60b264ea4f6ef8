"""The finished site, opened from disk: every page, every link, search, folds, the dark."""

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from playwright.sync_api import ConsoleMessage, Page, expect
from support.access import TOO_PALE

from vizhelpers._utils.paths import NOTEBOOKS, ROOT
from vizhelpers.course.refresh import all_notebooks
from vizhelpers.course.site.build import build_site

DESKTOP, PHONE = (1280, 900), (390, 844)
pytestmark = pytest.mark.filterwarnings("ignore:'myst_parser")
# By how much the page is too wide, what it got from elsewhere, pictures that are missing or untold.
LOOK = """() => ({
  wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  outside: performance.getEntriesByType('resource').map(got => got.name)
    .filter(name => !/^(?:file|data):/.test(name)),
  missing: [...document.images].filter(image => {
    image.loading = 'eager';
    return !(image.complete && image.naturalWidth);
  }).map(image => image.src),
  untold: [...document.images].filter(image => !image.alt.trim()).map(image => image.src),
})"""
WHOLE = {"wide": 0, "outside": [], "missing": [], "untold": []}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built once."""
    out = tmp_path_factory.mktemp("course") / "site"
    assert build_site(out) == [], "Sphinx has found something"
    return out


@pytest.fixture
def reader(page: Page, site: Path) -> Iterator[Page]:
    """A page whose console stays empty: there, too, a browser tells what it could not get."""
    said: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        said.append(message.text)

    page.on("console", listen)
    page.goto((site / "index.html").as_uri())
    yield page
    page.remove_listener("console", listen)
    page.emulate_media(color_scheme="light", media="screen")
    size(page, DESKTOP)
    assert not said, said


def size(page: Page, width_and_height: tuple[int, int]) -> None:
    width, height = width_and_height
    page.set_viewport_size({"width": width, "height": height})


def pages(site: Path) -> list[Path]:
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def test_every_notebook_is_a_page_and_in_the_contents(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    listed = re.findall(r'<li class="toctree-l\d[^>]*><a [^>]*href="([^"]+)"', text)
    for path in all_notebooks():
        assert path.relative_to(ROOT).with_suffix(".html").as_posix() in listed
    assert {"notebooks/README.html", "LICENSE.html"} <= set(listed)


def test_every_link_leads_somewhere(site: Path) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in pages(site)}
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    broken = []
    for path, text in texts.items():
        for tag, target in re.findall(r'<(\w+)\b[^>]*?\b(?:href|src)="([^"]*)"', text):
            if re.match(r"(?:https?|mailto):", target):
                assert tag == "a", f"{path.name} needs {target}"
                continue
            address, anchor = urldefrag(unescape(target))
            address = unquote(address.split("?")[0])
            found = (path.parent / address).resolve() if address else path
            if not found.is_file() or (anchor and anchor not in ids.get(found, {anchor})):
                broken.append(f"{path.relative_to(site)} -> {target}")
    assert not broken, broken


def test_folds_are_closed_and_there(site: Path) -> None:
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        results = [cell for cell in cells if cell.get("outputs")]
        folded = [c for c in results if c.metadata.get("jupyter", {}).get("outputs_hidden")]
        page = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        folds = re.findall(r'<details class="[^"]*\bhide\b[^>]*>', page)
        assert len(folds) == len(folded)
        assert not any(" open" in fold for fold in folds)


def test_every_page_is_whole_at_every_width(reader: Page, site: Path) -> None:
    for path in pages(site):
        reader.goto(path.as_uri())
        for window in (DESKTOP, PHONE):
            size(reader, window)
            seen = reader.evaluate(LOOK)
            assert seen == WHOLE, (path, window)


def test_search_from_disk(reader: Page, site: Path) -> None:
    box = reader.get_by_role("textbox", name="Search")
    box.fill("torchinfo")
    box.press("Enter")
    found = reader.locator("#search-results a", has_text="01 · print vs torchinfo").first
    expect(found).to_be_visible()
    found.click()
    expect(reader.get_by_role("heading", level=1)).to_contain_text("01 · print vs torchinfo")


def test_reading_on_a_phone(reader: Page) -> None:
    size(reader, PHONE)
    entry = reader.get_by_role("link", name="04 · Class activation maps").first
    expect(entry).not_to_be_in_viewport()
    reader.locator("header.mobile-header label[for=__navigation]").click()
    expect(entry).to_be_in_viewport()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_cards_code_and_text_can_be_read(reader: Page, site: Path, theme: str) -> None:
    reader.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    reader.goto((site / "notebooks/00_start_here.html").as_uri())
    inside = "div[style*='border-left'] :is(div, span, code, summary), th, td, pre, .vh-run"
    texts = reader.locator(f".cell_output :is({inside}), .highlight span, article p, summary")
    assert texts.count() > 100
    assert texts.evaluate_all(TOO_PALE) == []


def test_a_widget_says_where_it_can_be_touched(reader: Page, site: Path) -> None:
    reader.goto((site / "notebooks/00_start_here.html").as_uri())
    touched = reader.locator(".cell_output:has(.vh-run)").first
    told = "Paint over it: PaintOver: picture, nothing painted"
    expect(touched.locator("img")).to_have_attribute("alt", told)
    expect(touched).to_contain_text("answers to the mouse and the keyboard")


def test_code_can_be_copied(reader: Page) -> None:
    reader.context.grant_permissions(["clipboard-read", "clipboard-write"])
    block = reader.locator("div.highlight", has_text="python -m vizhelpers open").first
    block.hover()
    block.get_by_role("button").click()
    copied = reader.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines() == ["python -m vizhelpers open", "python -m vizhelpers test"]


def test_on_paper_results_are_unfolded_and_the_sidebar_is_gone(reader: Page, site: Path) -> None:
    reader.goto((site / "notebooks/00_start_here.html").as_uri())
    fold, aside = reader.locator("details.hide").first, reader.locator(".sidebar-drawer")
    reader.evaluate("dispatchEvent(new Event('beforeprint'))")
    reader.emulate_media(media="print")
    expect(fold).to_have_attribute("open", "")
    expect(aside).to_be_hidden()
    reader.evaluate("dispatchEvent(new Event('afterprint'))")
    reader.emulate_media(media="screen")
    expect(fold).not_to_have_attribute("open", "")
    expect(aside).to_be_visible()
