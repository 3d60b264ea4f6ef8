"""Make the site: Sphinx with the course's own settings, in a folder that opens from disk."""

import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from tqdm import tqdm

from vizhelpers.course.site.sources import Sources, write_sources

STATIC = Path(__file__).with_name("static")
MARK = Path("_static", "course.css")  # a folder with this file in it is a site of ours
# Nothing is executed, and nothing is fetched, neither now nor by whoever reads the pages.
SETTINGS: dict[str, Any] = {
    "project": "See inside your PyTorch network",
    "html_title": "See inside your PyTorch network",
    "language": "en",
    "root_doc": "index",
    "extensions": ["myst_nb", "sphinx_copybutton"],
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "nb_code_prompt_show": "Show the result",
    "nb_code_prompt_hide": "Hide the result",
    "myst_enable_extensions": ["html_image"],
    "myst_heading_anchors": 3,
    "highlight_language": "none",  # a list of folders is no Python
    "copybutton_selector": ".cell_input pre, .highlight-none pre",
    "html_theme": "furo",
    "html_static_path": [str(STATIC)],
    "html_css_files": ["course.css"],
    "html_js_files": ["course.js"],
    "html_copy_source": False,
    "html_show_copyright": False,
    "html_use_index": False,
    # Sphinx would fetch each page that was found, which a browser refuses for files.
    "html_show_search_summary": False,
}


def build_site(out: Path) -> list[str]:
    """Write the whole course as web pages: all lessons, what goes into depth, the solutions.

    The pages hold the stored results of the notebooks; nothing is run. They can be opened from
    disk, copied to a stick or put on any web server.

    Args:
        out: A folder: a new one, an empty one, or a site made before, which is replaced.

    Returns:
        Sphinx's warnings, such as links that lead nowhere; none when all is well.

    Raises:
        FileExistsError: ``out`` holds something else.
    """
    if out.exists() and not (out / MARK).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"{out} is not empty, and no site made by this command: it is left as it is. "
            "Name a new or an empty folder."
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        sources = write_sources(Path(scratch, "source"))
        made = Path(scratch, "build", "html")
        warnings = _run_sphinx(sources, made)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(made, out)
    return warnings


def _run_sphinx(sources: Sources, made: Path) -> list[str]:
    said = io.StringIO()

    def give_alt_texts(app: Sphinx, tree: nodes.document) -> None:
        """Sphinx has drawn the stored pictures; those of the texts have theirs already."""
        stored = [image for image in tree.findall(nodes.image) if "alt" not in image]
        texts = sources.alt_texts.get(app.env.docname, [])
        for image, text in zip(stored, texts, strict=True):
            image["alt"] = text

    with (
        docutils_namespace(),
        tqdm(total=2 * len(sources.pages), unit="step", disable=None) as bar,
    ):
        folders = sources.folder, None, made, made.with_name("doctrees")
        app = Sphinx(*folders, "html", SETTINGS, status=None, warning=said)
        app.connect("source-read", lambda *_: bar.update())
        app.connect("doctree-read", give_alt_texts)
        app.connect("html-page-context", lambda *_: bar.update())
        app.build()
    plain = re.sub(r"\x1b\[[\d;]+m", "", said.getvalue())
    return plain.replace(f"{sources.folder}{os.sep}", "").splitlines()
