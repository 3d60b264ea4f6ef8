"""JupyterLab as the browser's tests need it: quiet, private, and asked through its own API."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Page

from vizhelpers.course.refresh import lesson_environment

# JupyterLab's settings: file name, then content. No pop-ups, no half-drawn notebook.
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {
        "windowingMode": "none",
        "autoStartDefaultKernel": True,
    },
}
SECONDS = 120
IS_READY = """async () => {
  const app = window.jupyterapp;
  if (!app) return false;
  await app.restored;
  const panel = app.shell.currentWidget;
  if (!panel || !panel.sessionContext || !panel.context) return false;
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) return false;
  await kernel.info;  // it has answered, so it lives
  return kernel.status === 'idle' && kernel.connectionStatus === 'connected';
}"""
RUN_ALL = "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
# Cells that were not run, or failed without being meant to.
UNEXPECTED = """() => window.jupyterapp.shell.currentWidget.content.model.toJSON().cells
  .filter(cell => cell.cell_type === 'code')
  .filter(cell => cell.execution_count === null
    || (cell.outputs.some(output => output.output_type === 'error')
      && !(cell.metadata.tags || []).includes('raises-exception')))
  .map(cell => [cell.source, ...cell.outputs.map(output => output.evalue)].join('\\n'))"""
ASK_KERNEL = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const request = kernel.requestExecute({ code, store_history: false });
  let said = '';
  request.onIOPub = message => {
    if (message.header.msg_type === 'stream') said += message.content.text;
    if (message.header.msg_type === 'error') said += message.content.traceback.join('\\n');
  };
  await request.done;
  return said;
}"""
# The digest of an image's own bytes, not of what the browser makes of them.
SHOWN = """async image => {
  await image.decode();
  const bytes = await (await fetch(image.src)).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('');
}"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str

    def request(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {self.token}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def wait(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Wait until the server answers; where it does not, say what it wrote."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                self.request("/api/status")
                return
            except OSError:
                said = log.read_text(encoding="utf-8", errors="replace")
                assert process.poll() is None, f"JupyterLab ended:\n{said}"
                assert time.monotonic() < end, f"JupyterLab did not answer:\n{said}"
                time.sleep(0.1)

    def open(self, page: Page, notebook: str) -> None:
        """Show a notebook and wait until its kernel answers."""
        page.goto(f"{self.url}/lab/tree/{notebook}?reset&token={self.token}")
        end = time.monotonic() + SECONDS
        # Not page.wait_for_function: it takes the promise itself for a yes.
        while not page.evaluate(IS_READY):
            assert time.monotonic() < end, f"{notebook}: no kernel after {SECONDS} s"
            time.sleep(0.1)

    def put(self, notebook: str, *cells: str) -> None:
        """Write a notebook of these code cells where the lessons are."""
        content = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, cells)])
        request = urllib.request.Request(
            f"{self.url}/api/contents/{notebook}",
            json.dumps({"type": "notebook", "content": content}).encode(),
            {"Authorization": f"token {self.token}"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=20):
            pass

    def run_all(self, page: Page) -> None:
        """Run every cell; return when the last one is done."""
        page.evaluate(RUN_ALL)
        # After an error that a lesson means to make, it returns at once; the kernel has a queue.
        self.ask(page, "pass")
        unexpected = page.evaluate(UNEXPECTED)
        assert not unexpected, "\n\n".join(unexpected)

    def ask(self, page: Page, code: str) -> str:
        """Run code in the kernel of the notebook that is shown; return what it prints."""
        return page.evaluate(ASK_KERNEL, code).strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_lab(folder: Path, port: int, token: str) -> subprocess.Popen[bytes]:
    """Start JupyterLab on ``folder/course``, with settings of its own and none of the user's."""
    for name, content in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    environment = lesson_environment(folder)
    environment |= {
        f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    options = {
        "--ip": "127.0.0.1",
        "--port": port,
        "--ServerApp.port_retries": 0,
        "--ServerApp.root_dir": folder / "course",
        "--IdentityProvider.token": token,
        "--LabApp.expose_app_in_browser": True,
        "--LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    with (folder / "lab.log").open("wb") as log:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *(f"{name}={value}" for name, value in options.items()),
            ],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
