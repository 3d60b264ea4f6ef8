"""TensorBoard's server: it answers, it is alone on this machine, and nothing of it is left."""

import json
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from vizhelpers._utils.paths import ROOT
from vizhelpers.tensorboard import server as module
from vizhelpers.tensorboard.server import start_tensorboard

SCRIPT = """
import os, sys, time
from vizhelpers.tensorboard.server import start_tensorboard
board = start_tensorboard(sys.argv[1])
child = os.fork() if "fork" in sys.argv else None
if child == 0:
    time.sleep(30)
    os._exit(0)
print(board.port, board._process.pid, child or 0, flush=True)
sys.stdin.read()
"""
SLOW = """
import time
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
find = EventMultiplexer.AddRunsFromDirectory
EventMultiplexer.AddRunsFromDirectory = lambda *given: (time.sleep(1.5), find(*given))
"""


def log(folder, run, values=(0.5,)):
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / run) as writer:
        for step, value in enumerate(values):
            writer.add_scalar("loss", value, step)


def ask(board, what):
    with urllib.request.urlopen(f"{board.url}data/{what}", timeout=10) as answer:
        return json.load(answer)


def is_open(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_until(happens, seconds=15):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def logdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board") / "Läufe, 2 [neu] 山"
    log(folder, "first")
    return folder


@pytest.fixture(scope="module")
def board(logdir):
    with start_tensorboard(logdir) as board:
        yield board


@pytest.fixture
def processes(monkeypatch):
    """Every server's process that the test starts."""
    started = []

    def record(*arguments, **options):
        started.append(subprocess.Popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(module, "Popen", record)
    return started


def test_it_serves_the_folder(board, logdir):
    assert board.running
    assert board.logdir == logdir
    assert board.url == f"http://127.0.0.1:{board.port}/"
    assert ask(board, "environment")["data_location"] == str(logdir)
    assert "loss" in ask(board, "plugin/scalars/tags")["first"]


def test_the_runs_are_found_when_it_is_handed_over(logdir, monkeypatch):
    monkeypatch.setattr(module, "SERVER", SLOW + module.SERVER)
    with start_tensorboard(logdir, port=free_port()) as other:
        assert ask(other, "runs")


def test_it_follows_what_is_written_later(board, logdir):
    log(logdir, "later")
    wait_until(lambda: set(ask(board, "runs")) == {"first", "later"})


def test_the_same_folder_again_is_the_same_server(board, logdir, monkeypatch, processes):
    monkeypatch.chdir(logdir.parent)
    for same in (logdir, str(logdir), logdir.name, logdir / ".." / logdir.name):
        assert start_tensorboard(same) is board
    assert start_tensorboard(logdir, port=board.port) is board
    assert not processes


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_another_folder_a_given_port_and_the_end(board, tmp_path, monkeypatch):
    """Also where no program is on the PATH and every request would go to a proxy."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    port = free_port()
    with start_tensorboard(tmp_path, port=port) as other:
        assert other is not board
        assert other.port == port != board.port
        assert is_open(port)
    assert not other.running
    assert not is_open(port)
    assert board.running
    other.stop()
    with pytest.raises(RuntimeError, match="has ended"):
        other.show()
    with start_tensorboard(tmp_path, port=port) as again:
        assert again is not other
        assert again.running


def test_a_server_that_is_no_longer_true_is_replaced(tmp_path, processes):
    runs, other = tmp_path / "runs", tmp_path / "other"

    def cell(values):  # what a notebook's cell does each time it is run
        shutil.rmtree(runs / "net", ignore_errors=True)
        log(runs, "net", values)
        return start_tensorboard(runs)

    def shown(board):
        found = ask(board, "plugin/scalars/scalars?run=net&tag=loss")
        return [value for _, _, value in found]

    first = cell([9, 9, 9])
    assert shown(first) == [9, 9, 9]
    log(runs, "more")  # is no reason to start anew
    assert start_tensorboard(runs) is first
    second = cell([1, 2])
    assert shown(second) == [1, 2]
    assert not first.running
    processes[-1].kill()  # somebody ends it
    processes[-1].wait()
    third = start_tensorboard(runs)
    assert third.running
    shutil.rmtree(runs)  # its folder is gone: it ends with the next start
    log(other, "run")
    with start_tensorboard(other) as fourth:
        assert (third.running, fourth.running) == (False, True)
    assert module._boards == [board for board in module._boards if board.running]


def test_only_this_machine_can_reach_it(board):
    own = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
    others = {"127.0.0.2", "::1", *own} - {"127.0.0.1"}
    assert not [host for host in others if is_open(board.port, host)]


# What cannot be started


@pytest.mark.parametrize("logdir", ["no such folder", None, 3])
@pytest.mark.parametrize("port", [0, 65536, "6006", 6006.0])
def test_neither_folder_nor_port(tmp_path, monkeypatch, processes, logdir, port):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError if isinstance(logdir, str) else TypeError) as caught:
        start_tensorboard(logdir)
    if isinstance(logdir, str):
        assert str(tmp_path / logdir) in str(caught.value)
    with pytest.raises(ValueError if isinstance(port, int) else TypeError, match="port must be"):
        start_tensorboard(tmp_path, port=port)
    assert not processes


def test_a_file_instead_of_a_folder(logdir, processes):
    events = next(logdir.rglob("*tfevents*"))
    with pytest.raises(NotADirectoryError, match=r"is a file.*folder that it lies in"):
        start_tensorboard(events)
    assert not processes


def test_a_port_that_another_tensorboard_has(board, tmp_path, processes):
    with pytest.raises(RuntimeError, match=f"{board.port} is taken") as caught:
        start_tensorboard(tmp_path, port=board.port)
    assert f"a TensorBoard of {board.logdir}" in str(caught.value)
    assert "leave out port=" in str(caught.value)
    assert not processes


@pytest.mark.parametrize(
    "says", [b"SSH-2.0\r\n", b"HTTP/1.0 404 no\r\n\r\n", b"HTTP/1.0 200\r\n\r\n[]"]
)
def test_a_port_that_something_else_has(tmp_path, processes, says):
    class Other(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1000)
            self.request.sendall(says)

    with socketserver.TCPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        port = server.server_address[1]
        with pytest.raises(RuntimeError, match=f"{port} is taken by another program"):
            start_tensorboard(tmp_path, port=port)
        server.shutdown()
    assert not processes


def test_no_tensorboard(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install tensorboard"):
        start_tensorboard(tmp_path)
    assert not processes


def test_a_server_that_dies_leaves_its_last_words(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(module, "SERVER", "raise SystemExit('out of ideas')")
    with pytest.raises(RuntimeError, match="out of ideas"):
        start_tensorboard(tmp_path)
    assert processes[0].poll() is not None


def test_a_server_that_does_not_answer_is_given_up(tmp_path, monkeypatch, processes):
    monkeypatch.setattr(module, "SERVER", "import sys; sys.stdin.read()")
    with pytest.raises(TimeoutError, match=r"0\.2 s.*timeout=0\.4"):
        start_tensorboard(tmp_path, timeout=0.2)
    assert processes[0].poll() is not None


def test_an_interrupt_while_it_starts_leaves_nothing(tmp_path, monkeypatch, processes):
    def interrupt(port, what):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_ask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start_tensorboard(tmp_path)
    assert processes[0].poll() is not None


# Nothing is left


@pytest.mark.parametrize("ending", ["exit", "kill", "fork"])
def test_it_ends_with_the_process_that_started_it(tmp_path, ending):
    """Also if that is killed, and while a child of it lives on."""
    if ending == "fork" and not hasattr(os, "fork"):
        pytest.skip("nothing forks here")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), ending]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        port, pid, child = map(int, parent.stdout.readline().split())
        assert is_open(port)
        if ending != "exit":
            parent.kill()
    wait_until(lambda: not is_open(port))
    if os.name == "posix":
        wait_until(lambda: not is_alive(pid))
    if child:
        assert is_alive(child)
        os.kill(child, signal.SIGKILL)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody may be there to take note of an orphan's end (in a container, for instance).
    command = ["ps", "-o", "stat=", "-p", str(pid)]
    state = subprocess.run(command, capture_output=True, text=True, check=False)
    return not state.stdout.startswith("Z")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for a single process")
def test_interrupting_a_cell_does_not_end_it(board):
    os.kill(board._process.pid, signal.SIGINT)  # Jupyter sends it to the kernel's whole group
    time.sleep(0.7)
    assert board.running
    assert ask(board, "environment")


# What a notebook shows, and what it keeps


def test_frame_and_link(board):
    html = board.show(height=432, tab="images").html
    assert html.count(f'"{board.url}#images"') == 2
    assert 'height="432"' in html
    assert f"ssh -L {board.port}:127.0.0.1:{board.port}" in html
    assert "%load_ext tensorboard" in html
    assert f'src="{board.url}"' in board.show().html
    assert 'height="9&quot;&gt;&lt;script&gt;"' in board.show(height='9"><script>').html


def test_an_unknown_tab(board):
    with pytest.raises(ValueError, match=r"no tab 'pictures'.*histograms.*images.*projector"):
        board.show(tab="pictures")


def test_only_text_is_stored(board):
    shown = board.show(tab="graphs")
    bundle = shown._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "application/vnd.jupyter.widget-view+json"}
    assert bundle["text/plain"] == repr(shown) == "<TensorBoard, graphs: run the cell to see it>"
    assert repr(board.show()) == "<TensorBoard: run the cell to see it>"
    assert repr(board) == "<TensorBoard, running>"
