"""The progress bar: shown where somebody waits, and nowhere else."""

import subprocess
import sys
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from vizhelpers._utils.paths import ROOT
from vizhelpers._utils.progress_bar import with_progress

SLOW = """
import time
from vizhelpers._utils import progress_bar
progress_bar.SECONDS = 0.05
print(sum(1 for _ in progress_bar.with_progress(range(4), "counting") if not time.sleep(0.1)))
"""


def in_a_notebook(tmp_path: Path) -> list[str]:
    """Everything that the slow loop shows in a kernel, a bar's widget as its text."""
    notebook = new_notebook(cells=[new_code_cell(SLOW)])
    NotebookClient(notebook, resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = notebook.cells[0].outputs
    return [o.get("text") or str(o.get("data", {}).get("text/plain")) for o in outputs]


def test_every_item_comes_through() -> None:
    assert list(with_progress(iter("abc"), "letters")) == ["a", "b", "c"]


def test_a_log_file_gets_no_bar() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SLOW], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("4\n", "")


def test_a_notebook_shows_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    shown = in_a_notebook(tmp_path)
    assert any("counting" in text for text in shown), shown
    assert "4\n" in shown


def test_unless_it_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert in_a_notebook(tmp_path) == ["4\n"]
