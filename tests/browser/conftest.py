"""A real browser, and a real JupyterLab in it."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from support.lab import VIEWPORT, Lab, running_browser, running_lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Keep what the browser showed when a test failed, and say where."""
    report = yield
    page = getattr(item, "funcargs", {}).get("page")
    if report.failed and page and report.when != "teardown":
        path = Path(tempfile.mkdtemp(prefix="browser-test-"), "page.png")
        page.screenshot(path=path)
        report.sections.append(("Screenshot", str(path)))
    return report


# Closed at the end of this folder: while it is open an event loop runs, and what talks to a
# kernel, such as the tests of the lessons, would find it in its way.
@pytest.fixture(scope="package", name="browser")
def own_browser() -> Iterator[Browser]:
    """Replaces pytest-playwright's fixture."""
    try:
        with running_browser() as browser:
            yield browser
    except FileNotFoundError as error:
        # Where changes are decided upon, a missing browser must not look like success.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))


@pytest.fixture(scope="module", name="page")
def empty_page(browser: Browser) -> Iterator[Page]:
    """One page for all tests of a module, on which no script may fail."""
    page = browser.new_page(viewport=VIEWPORT)
    page.set_default_timeout(20_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert not problems, problems


@pytest.fixture(scope="package")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab. Without a browser it is not even started."""
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module", name="lab")
def lab_without_kernels(server: Lab, page: Page) -> Iterator[Lab]:
    """JupyterLab, in which no kernel of another module runs."""
    yield server
    page.evaluate("window.jupyterapp?.serviceManager.sessions.shutdownAll()")
