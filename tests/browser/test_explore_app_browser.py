"""`python -m vizhelpers explore` as an app in a real browser; nothing stays behind."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page

from vizhelpers._utils.paths import DATA, ROOT
from vizhelpers.course import bootstrap

SECONDS = 120
NET = """
from torch import nn

def net():
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), *pool, nn.Linear(16, 2))
"""
COMMAND = [sys.executable, "-m", "vizhelpers", "explore", "--no-browser"]


@pytest.fixture(name="app")
def running_app(tmp_path: Path):
    """The app, its address, and the folder that it may write into; ended by Ctrl-C."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "mine.py").write_text(NET)
    environment = {
        **os.environ,
        bootstrap.INSIDE: "1",
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(ROOT),
        "VIZHELPERS_OFFLINE": "1",
    }
    photo = DATA / "photos" / "cat.png"
    with subprocess.Popen(
        [*COMMAND, "mine.py:net", str(photo), "--size=32"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        while not said or "http" not in said[-1]:
            said.append(process.stdout.readline())
            assert said[-1], f"the app ended: {said}"
        yield re.search(r"http\S+", said[-1])[0], said[0]
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert rest == "Stopped.\n"
    assert not list(scratch.glob("explorer-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no Ctrl-C to one process")
def test_the_app_opens_for_who_has_its_address_and_answers_to_the_hand(app, page: Page) -> None:
    address, said = app
    assert said.startswith("mine.py:net. Its weights are as its own code makes them")
    assert address.startswith("http://127.0.0.1:")
    without_token = address.partition("?")[0]
    for path in ("", "api/kernels", "voila/render/explorer.ipynb"):
        with urllib.request.urlopen(without_token + path, timeout=20) as answer:
            assert "/login?" in answer.url, "only who has the address comes in"
    loaded = []
    page.on("response", lambda answer: loaded.append(answer.url))
    page.goto(address, timeout=1000 * SECONDS)
    page.get_by_role("treeitem", name=re.compile("^0: Conv2d")).wait_for(timeout=1000 * SECONDS)
    assert page.get_by_text("cat.png:").is_visible()
    page.get_by_role("tab", name="Kernels").click()
    page.get_by_text("16 kernels").wait_for()
    assert "vh.zoo.load_your_model('mine.py:net')" in page.inner_text("body")
    outside = [url for url in loaded if not url.startswith(("data:", "blob:", address[:17]))]
    assert not outside
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto("about:blank")
