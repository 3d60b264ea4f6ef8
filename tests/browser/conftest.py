"""A real JupyterLab in a real browser: one of each for all tests, on a copy of the notebooks."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Playwright
from support.lab import Lab, free_port, start_lab

from vizhelpers._utils.paths import DATA, NOTEBOOKS

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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Keep what the browser showed when a test failed, and say where."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.failed and browser:
        folder = Path(tempfile.mkdtemp(prefix="browser-test-"))
        pages = [page for context in browser.contexts for page in context.pages]
        for number, page in enumerate(pages):
            page.screenshot(path=folder / f"{number}.png")
        report.sections.append(("Screenshots", f"{folder}: {len(pages)}"))
    return report


def find_browser(playwright: Playwright) -> str | None:
    """Find a Chromium: named in CHROMIUM, installed on this machine, or Playwright's own."""
    if named := os.environ.get("CHROMIUM"):
        return named
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    own = playwright.chromium.executable_path
    return installed or (own if Path(own).exists() else None)


@pytest.fixture(scope="session")
def browser_type_launch_args(playwright: Playwright) -> dict[str, Any]:
    """Replace pytest-playwright's fixture: which browser is started, and how."""
    found = find_browser(playwright)
    if found is None:
        message = (
            "found no Chromium, Chrome or Edge: install one, set CHROMIUM to its path, "
            "or run `python -m playwright install chromium`"
        )
        # Where changes are decided upon, a missing browser must not look like success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    # Chromium's sandbox refuses to work for root.
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if is_root else [])]
    return {"executable_path": found, "headless": True, "args": arguments}


@pytest.fixture(scope="session", name="lab")
def running_lab(
    browser_type_launch_args: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """JupyterLab on a copy of the notebooks. Without a browser it is not even started."""
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(NOTEBOOKS, folder / "course")  # running the lessons must not change them
    shutil.copytree(DATA / "weights", folder / "data" / "weights")  # a lesson reads ../data
    port, token = free_port(), secrets.token_hex(16)
    lab = Lab(f"http://127.0.0.1:{port}", token)
    process = start_lab(folder, port, token)
    try:
        lab.wait(process, folder / "lab.log")
        yield lab
        lab.request("/api/shutdown", "POST")  # its kernels end with it
        process.wait(20)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1400, "height": 1100}}
