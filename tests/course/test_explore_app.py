"""`python -m vizhelpers explore`: what it says, what it saves, and what it serves."""

import re
import socket
import sys

import pytest
from PIL import Image

from vizhelpers import __main__ as command_line
from vizhelpers._utils.paths import DATA
from vizhelpers.course import bootstrap, cli, explore

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, classes):
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), *pool, nn.Linear(4, classes))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A stranger's folder: a network, a picture, names of classes."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bootstrap, "environment_is_ready", lambda: True)
    return tmp_path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["vizhelpers", "explore", *arguments])
    return command_line.main()


def test_a_page_is_saved(folder, monkeypatch, capsys):
    options = ["--classes", "names.txt", "--size", "16", "--layers", "0", "--save", "report.html"]
    assert run(monkeypatch, "net.py:Net(2)", "photo.jpg", *options) == 0
    assert "otherwise, say --mean and --std." in capsys.readouterr().out
    assert run(monkeypatch, "net.py:Net(2)", "photo.jpg", *options, "--mean", "0.5,0.5,0.5") == 0
    printed = capsys.readouterr().out
    assert "--mean" not in printed
    assert "as its own code makes them: random" in printed
    assert "Wrote report.html" in printed
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<b>photo\.jpg</b>: (cat|dog) \d+ %", page)
    assert "vh.load_image(&quot;photo.jpg&quot;, size=16)" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resnet18"], "Did you mean 'torchvision:resnet18'"),
        (["net.py:Net"], r"Net\(classes=…\)"),
        (["net.py:Net(2)", "photo.png"], r"photo\.png.*nearest names there: photo\.jpg"),
        (["net.py:Net(2)", "net.py"], r"net\.py' is not a picture"),
        (["net.py:Net(3)", "photo.jpg", "--classes", "names.txt"], "2 names .* 3 class scores"),
        (
            ["net.py:Net(2)", "photo.jpg", "--classes", "nam.txt"],
            r"no file nam\.txt of class names",
        ),
        (["net.py:Net(2)", "photo.jpg", "--weights", "photo.jpg"], "damaged, cut short"),
        (["net.py:Net(2)", "photo.jpg", "--layers", "7"], "no layer '7'"),
        (["net.py:Net(2)", "photo.jpg", "--port", "70000"], "--port must be 0 to 65535"),
        (["net.py:Net(2)", "photo.jpg", "--mean", "0.5"], "3 channels .* are for 1"),
    ],
)
def test_what_is_wrong_is_said_in_the_terminal_before_a_page_opens(
    folder, monkeypatch, arguments, words
):
    monkeypatch.setattr(explore, "notebook_for", lambda *_: None)
    with pytest.raises(SystemExit, match="vizhelpers explore: ") as stopped:
        run(monkeypatch, *arguments)
    assert re.search(words, str(stopped.value)), stopped.value


def test_a_mean_that_is_no_numbers_is_said(capsys):
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["explore", "x", "--mean", "0.5 0.5"])
    assert "--mean: '0.5 0.5' is not numbers such as 0.5,0.5,0.5" in capsys.readouterr().err


def test_a_taken_port_is_said():
    with socket.socket() as taken:
        taken.bind((explore.HOST, 0))
        taken.listen()
        with pytest.raises(ValueError, match="cannot be used"):
            explore.free_port(taken.getsockname()[1])


def test_the_notebook_runs_the_code_that_it_shows():
    arguments = cli.parser().parse_args(
        ["explore", "net.py:Net(2)", "--weights", "a.pth", "--prefix", "module.", "--size", "32"]
    )
    code = explore.code_for(arguments)
    assert "load_your_model('net.py:Net(2)', weights='a.pth', prefix='module.')" in code
    assert f"list_pictures({str(DATA / 'photos')!r})" in code
    title, about = "<b>", "[x](javascript:y)<i>"
    cells = explore.notebook_for(title, about, code).cells
    assert [cell.cell_type for cell in cells] == ["code", "markdown", "code", "markdown"]
    assert cells[2].source == f"{code}\nexplorer"
    assert code in cells[3].source
    assert "<" not in cells[1].source


def test_installed_alone_nothing_is_installed(monkeypatch, folder):
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", folder / "none.txt")
    monkeypatch.setattr(bootstrap, "environment_is_ready", lambda: False)
    monkeypatch.delenv(bootstrap.INSIDE, raising=False)
    monkeypatch.setattr(bootstrap, "run_in_course", lambda _: pytest.fail("would install"))
    with pytest.raises(SystemExit, match="names no model"):
        run(monkeypatch, "x")
