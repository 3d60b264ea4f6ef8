"""JupyterLab and a browser as the tests need them: quiet, private, and asked through Lab's API."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

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
# The server's own settings: its kernels start at once.
FORKED = f"""import sys
sys.path.append({str(Path(__file__).parents[1])!r})
from support import forked_kernels
forked_kernels.install()
"""
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
# Runs some cells one after another; returns what went wrong.
RUN = """async cells => {
  const { content } = window.jupyterapp.shell.currentWidget;
  for (const cell of cells) {
    content.deselectAll();
    content.activeCellIndex = cell;
    await window.jupyterapp.commands.execute('notebook:run-cell');
    const { execution_count, outputs } = content.widgets[cell].model.toJSON();
    const errors = outputs.filter(output => output.output_type === 'error');
    if (errors.length || execution_count === null) {
      return [`cell ${cell}`, ...errors.flatMap(error => error.traceback)].join('\\n');
    }
  }
  return '';
}"""
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
# The digest of an image's own bytes, not of what the browser makes of them. Decoding is refused
# when another picture comes meanwhile.
SHOWN = """async image => {
  for (let tries = 1; ; tries += 1) {
    try { await image.decode(); break; } catch (error) { if (tries === 10) throw error; }
  }
  const bytes = await (await fetch(image.src)).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('');
}"""
BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)
# The browser must not look for updates, news or a GPU.
ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
)
VIEWPORT = {"width": 1400, "height": 1100}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    url: str
    token: str

    def request(self, path: str, method: str = "GET", content: object = None) -> None:
        data = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20):
            pass

    def open(self, page: Page, cells: Sequence[NotebookNode]) -> None:
        """Show a notebook of these cells and wait until its kernel answers."""
        notebook = nbformat.v4.new_notebook(cells=list(cells))
        content = {"type": "notebook", "content": notebook}
        self.request("/api/contents/a.ipynb", "PUT", content)
        page.goto(f"{self.url}/lab/tree/a.ipynb?reset&token={self.token}")
        end = time.monotonic() + SECONDS
        # Not page.wait_for_function: it takes the promise itself for a yes.
        while not page.evaluate(IS_READY):
            assert time.monotonic() < end, f"no kernel after {SECONDS} s"
            time.sleep(0.1)


def run(page: Page, *cells: int) -> None:
    """Run cells of the notebook that is shown; return when the last one is done."""
    problem = page.evaluate(RUN, cells)
    assert not problem, problem


def ask(page: Page, code: str) -> str:
    """Run code in the kernel of the notebook that is shown; return what it prints."""
    return page.evaluate(ASK_KERNEL, code).strip()


@contextmanager
def running_lab(folder: Path) -> Iterator[Lab]:
    """JupyterLab in an empty folder, with settings of its own and none of the user's."""
    for name, content in SETTINGS.items():
        path = folder / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    (folder / "course").mkdir()
    (folder / "CONFIG").mkdir()
    (folder / "CONFIG" / "jupyter_server_config.py").write_text(FORKED, encoding="utf-8")
    environment = lesson_environment(folder)
    environment |= {
        f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(folder / "workspaces")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lab = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16))
    options = {
        "--ip": "127.0.0.1",
        "--port": port,
        "--ServerApp.port_retries": 0,
        "--ServerApp.root_dir": folder / "course",
        "--IdentityProvider.token": lab.token,
        "--LabApp.expose_app_in_browser": True,
        "--LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    log = folder / "lab.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *(f"{name}={value}" for name, value in options.items()),
            ],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(lab, process, log)
        yield lab
    finally:
        process.kill()  # a kernel whose server is gone ends itself
        process.wait()


def _wait_for(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; where it does not, say what it wrote."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            lab.request("/api/status")
            return
        except OSError:
            said = log.read_text(encoding="utf-8", errors="replace")
            assert process.poll() is None, f"JupyterLab ended:\n{said}"
            assert time.monotonic() < end, f"JupyterLab did not answer:\n{said}"
            time.sleep(0.1)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A Chromium that nobody sees. Inside, an event loop runs; it ends with the browser.

    Raises:
        FileNotFoundError: there is none.
    """
    with sync_playwright() as playwright:
        # Chromium's sandbox refuses to work for root.
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        arguments = [*ARGUMENTS, *(["--no-sandbox"] if is_root else [])]
        found = _find_browser(playwright)
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def _find_browser(playwright: Playwright) -> str:
    """Find a Chromium: named in CHROMIUM, installed on this machine, or Playwright's own."""
    own = playwright.chromium.executable_path
    installed = [shutil.which(name) for name in BROWSERS]
    for found in (os.environ.get("CHROMIUM"), *installed, own):
        if found and Path(found).exists():
            return found
    raise FileNotFoundError(
        "found no Chromium, Chrome or Edge: install one, set CHROMIUM to its path, "
        "or run `python -m playwright install chromium`"
    )
