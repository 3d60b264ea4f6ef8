"""Run the notebooks again in place and store their outputs (nbclient).

Decides in which environment a lesson runs, the same everywhere, and what its file keeps of it.
"""

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib
import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager
from tqdm import tqdm

from vizhelpers._utils.paths import NOTEBOOKS, ROOT, written_beside
from vizhelpers.course.alt_texts import give_alt_texts
from vizhelpers.figures import compressed

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 300
# What a file says about who ran it would change with every reader's Python.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# In a traceback: everything up to the folder that packages (or the standard library) stand in.
MACHINE_PATH = re.compile(
    r"(?:~|[A-Za-z]:)?[\\/][^\x1b\n]*(?:site-packages|dist-packages|python3\.\d+|Lib(?=\\))[\\/]"
)


def lesson_environment(scratch: Path) -> dict[str, str]:
    """Say in which environment variables a lesson is run, so that it does the same everywhere.

    Args:
        scratch: An empty folder that the caller throws away afterwards.

    Returns:
        All variables for the lesson's process: today's, with those that matter set.
    """
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        # vizhelpers is found in the clone, also where it is not installed.
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "-1",  # numbers of a GPU differ in the last digits
        "VIZHELPERS_OFFLINE": "1",
        "VIZHELPERS_PROGRESS": "off",  # neither read nor change what the learner has answered
        "TQDM_DISABLE": "1",  # a bar prints times
        "TORCH_HOME": str(scratch / "torch"),  # no ImageNet weights, whatever is cached here
        "IPYTHONDIR": str(scratch / "ipython"),  # no start-up files, and no history of the user's
        "MATPLOTLIBRC": str(Path(matplotlib.get_data_path()) / "matplotlibrc"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }


def all_notebooks() -> list[Path]:
    """List the lessons, what goes into depth, and the solutions."""
    patterns = ("*.ipynb", "in_depth/*.ipynb", "solutions/*.ipynb")
    return [path for pattern in patterns for path in sorted(NOTEBOOKS.glob(pattern))]


def refresh(paths: Iterable[Path] | None = None, *, check: bool = False) -> list[Path]:
    """Run notebooks again and store what they print and draw.

    A second run changes no byte: nothing that depends on the time, the machine or a random id is
    stored. Of a widget its picture and its text are kept, not the widget itself: without a running
    kernel Jupyter would show "model not found" in its place.

    Args:
        paths: Notebooks; all lessons and solutions when omitted.
        check: Only find out what would change and write nothing.

    Returns:
        The notebooks that changed, or would change.

    Raises:
        RuntimeError: A cell failed; names the notebook, the cell and the error. The notebooks
            before it have been written.
    """
    changed = []
    notebooks = {
        Path(path): nbformat.read(path, as_version=4)
        for path in (all_notebooks() if paths is None else paths)
    }
    cells = sum(len(notebook.cells) for notebook in notebooks.values())
    with tqdm(total=cells, unit="cell", disable=None) as bar:
        for path, notebook in notebooks.items():
            bar.set_description(path.stem)
            execute(notebook, path, bar)
            text = stored_form(notebook)
            if text == path.read_text(encoding="utf-8"):
                continue
            changed.append(path)
            bar.write(f"{'would change' if check else 'changed'}: {path}")
            if not check:
                with written_beside(path) as draft:
                    draft.write_text(text, encoding="utf-8", newline="\n")
    return changed


def execute(notebook: NotebookNode, path: Path, bar: Any) -> None:
    """Run every cell of ``notebook`` in a fresh kernel of this Python; outputs go into it."""
    number = 0

    def count(cell: NotebookNode, cell_index: int) -> None:
        nonlocal number
        number = cell_index + 1
        bar.update()

    client = NotebookClient(
        notebook,
        # "python3" may be registered as some other Python: ask for this one.
        km=AsyncKernelManager(
            kernel_name=CURRENT_ENV_KERNEL_NAME, kernel_spec_manager=NbvalKernelspecManager()
        ),
        timeout=CELL_SECONDS,
        resources={"metadata": {"path": str(path.resolve().parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # else chunks depend on how fast the machine prints
        on_cell_start=count,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        try:
            client.execute(
                env=lesson_environment(Path(scratch)),
                stderr=subprocess.DEVNULL,  # the kernel's own log; what a cell prints is not in it
                cleanup_kc=True,
            )
        except (CellControlSignal, DeadKernelError) as error:
            place = f"{path}, cell {number} of {len(notebook.cells)}"
            raise RuntimeError(f"{place}: {error}") from None


def stored_form(notebook: NotebookNode) -> str:
    """Turn a notebook that was run into the text of the file that is committed."""
    for key in ("widgets", *METADATA):
        notebook.metadata.pop(key, None)
    notebook.metadata.update(METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            compress_picture(output)
            if output.output_type == "error":
                output.traceback = [MACHINE_PATH.sub("", line) for line in output.traceback]
    give_alt_texts(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def compress_picture(output: NotebookNode) -> None:
    """Exchange the PNG of an output for a JPEG where that is clearly smaller."""
    data = output.get("data", {})
    if "image/png" in data:
        mime, content = compressed(base64.b64decode(data.pop("image/png")))
        data[mime] = base64.b64encode(content).decode()
