"""Start TensorBoard from a notebook, show it there, and end it with the kernel."""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen, TimeoutExpired
from threading import Thread
from typing import Any, Self
from urllib.request import ProxyHandler, build_opener

from vizhelpers._utils.clear_errors import clear_errors
from vizhelpers.tensorboard.events import event_files

HOST = "127.0.0.1"  # this machine alone: whoever reaches the server can read every run
# Runs TensorBoard in a process of its own. Nobody writes to its standard input, but the kernel
# holds the other end: when the kernel ends, were it killed, the system closes that end, and the
# server ends as well. Not the program `tensorboard`: on Windows it is a launcher whose child would
# survive, and this Python's own package is there whatever is on the PATH. It says which files it
# reads: it goes on showing what it has read, so once one of them is gone, it is no longer true.
SERVER = """
import os, signal, threading
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
def tell_what_is_read(loader, path, *rest, open=RawEventFileLoader.__init__, **options):
    print("reads", path, flush=True)
    open(loader, path, *rest, **options)
RawEventFileLoader.__init__ = tell_what_is_read
def end_with_the_kernel():
    os.read(0, 1)
    from tensorboard import manager
    manager.remove_info_file()
    os._exit(0)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting a cell does not mean the server
threading.Thread(target=end_with_the_kernel, daemon=True).start()
from tensorboard import main
main.run_main()
"""
# Port 0: the system gives a free one, which the server then names. The fast loader is a second
# program with gaps. Every two seconds it looks for what a running training has written.
OPTIONS = f"--host={HOST} --port={{}} --load_fast=false --reload_interval=2"
SERVING = re.compile(rf" at http://{re.escape(HOST)}:(\d+)/")
FRAME = """<iframe src="{url}" title="TensorBoard" width="100%" height="{height}"
style="border: 1px solid #bbb; box-sizing: border-box; display: block"></iframe>
<a href="{url}" target="_blank" rel="noopener" style="text-decoration: underline"
>TensorBoard in its own tab</a>. Nothing to see?
If the notebook runs on another machine: <code>ssh -L {port}:127.0.0.1:{port} that-machine</code>;
on Colab: <code>%load_ext tensorboard</code>, then <code>%tensorboard --logdir …</code>"""

# Started in this process and not stopped: the same folder again gets the same server.
_boards: list[Board] = []


def _let_go() -> None:
    """In a forked child: its end of the pipe would keep the servers alive after the kernel."""
    while _boards:
        stdin = _boards.pop()._process.stdin
        assert stdin
        stdin.close()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_let_go)


@clear_errors
def start_tensorboard(
    logdir: str | PathLike[str], *, port: int | None = None, timeout: float = 60
) -> Board:
    """Start TensorBoard on a folder of runs, or return the one that is already running.

    Where event files were deleted that the running one shows, it is replaced: it would go on
    showing them. Only this machine can reach it, it asks nothing of the network, and it follows
    a training while that still writes. It ends with `Board.stop`, or with the kernel.

    Args:
        logdir: The folder with one run, or with folders of runs. It may still be empty.
        port: Where it listens; a free port by default.
        timeout: Seconds after which a server that does not answer is given up.

    Returns:
        The server, which has found all runs. ``board.show()`` shows it.

    Raises:
        TypeError: ``logdir`` is no path, or ``port`` no integer.
        ValueError: ``port`` is not between 1 and 65535.
        FileNotFoundError: There is no such folder.
        NotADirectoryError: ``logdir`` is a file.
        RuntimeError: TensorBoard is not installed, the port is taken, or the server ended; its
            last words are in the message.
        TimeoutError: The server did not answer in time.

    Example:
        >>> board = start_tensorboard("runs")  # doctest: +SKIP
        >>> board.show()  # doctest: +SKIP
        >>> board.stop()  # doctest: +SKIP
    """
    folder = _existing_folder(logdir)
    for board in list(_boards):
        if not board.running or board.is_stale():
            board.stop()
        elif board.logdir == folder and port in (None, board.port):
            return board
    if find_spec("tensorboard") is None:
        raise RuntimeError("TensorBoard is not installed in this Python: pip install tensorboard")
    if port is not None:
        _check_port(port)
    board = Board(folder, port or 0)
    try:
        board._wait(timeout)
    except BaseException:  # an interrupt, too, must leave nothing behind
        board.stop()
        raise
    return board


class Board:
    """A running TensorBoard. Made by `start_tensorboard`; ``with`` stops it at the end.

    Attributes:
        logdir: The folder that it reads.
        port: The port on which it listens, on this machine only.
    """

    def __init__(self, logdir: Path, port: int) -> None:
        self.logdir, self.port = logdir, 0
        python = [sys.executable, "-P", "-X", "utf8"]
        command = [*python, "-c", SERVER, f"--logdir={logdir}", *OPTIONS.format(port).split()]
        self._process = Popen(
            command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, encoding="utf-8", errors="replace"
        )
        self._last_words: deque[str] = deque(maxlen=12)
        self._read: dict[Path, int] = {}  # event files and their numbers in the file system
        _boards.append(self)
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        return f"http://{HOST}:{self.port}/"

    @property
    def running(self) -> bool:
        """Whether the server still lives."""
        return self._process.poll() is None

    def is_stale(self) -> bool:
        """Whether its folder, or an event file that it has read, is gone or another one now."""
        return not self.logdir.is_dir() or any(
            _number(path) != number for path, number in self._read.copy().items()
        )

    def show(self, height: int = 700, tab: str | None = None) -> Frame:
        """Show TensorBoard below the cell, with a link to it.

        Args:
            height: Of the frame, in pixels.
            tab: The page to begin with, such as ``"images"``; TensorBoard chooses by default.

        Returns:
            The frame. A notebook cell that ends with it shows it. What a saved notebook keeps of
            it is a line of text, the same on every machine.

        Raises:
            RuntimeError: The server was stopped or has ended.
            ValueError: There is no such tab; the message names all.
        """
        if not self.running:
            raise RuntimeError("this TensorBoard has ended; start_tensorboard(…) starts a new one.")
        # Being asked, TensorBoard also begins to look for embeddings, so that a page opened a
        # moment later has its projector.
        known = _ask(self.port, "plugins_listing")
        if tab is not None and tab not in known:
            raise ValueError(f"TensorBoard has no tab {tab!r}, but {', '.join(sorted(known))}.")
        url = f"{self.url}#{tab}" if tab else self.url
        return Frame(FRAME.format(url=url, port=self.port, height=escape(str(height))), tab)

    def stop(self) -> None:
        """End the server and free its port; a second time does nothing."""
        if self in _boards:
            _boards.remove(self)
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(3)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        # A port or a path would differ on every machine that runs the lesson.
        return f"<TensorBoard, {'running' if self.running else 'stopped'}>"

    def _listen(self) -> None:
        """Take what the server says, so that it never waits for somebody to read it."""
        assert self._process.stdout
        with self._process.stdout as said:
            for line in said:
                if line.startswith("reads "):
                    path = Path(line.removeprefix("reads ").rstrip("\n"))
                    self._read[path] = _number(path)
                    continue
                self._last_words.append(line)
                if found := SERVING.search(line):
                    self.port = int(found[1])

    def _wait(self, timeout: float) -> None:
        """Wait until the server answers for its folder and lists the runs in it."""
        end = time.monotonic() + timeout
        while not self._answers():
            if not self.running:
                self._listener.join()
                words = "".join(self._last_words).strip()
                raise RuntimeError(f"TensorBoard ended before it answered. It said:\n{words}")
            if time.monotonic() > end:
                cure = f"on a busy machine try timeout={2 * timeout:g}."
                raise TimeoutError(f"TensorBoard did not answer within {timeout:g} s; {cure}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        # A page that is opened before the runs are listed stays empty until it is reloaded.
        wanted = any(event_files(self.logdir))
        try:
            return self.port > 0 and (bool(_ask(self.port, "runs")) or not wanted)
        except OSError:
            return False


@dataclass(frozen=True)
class Frame:
    """TensorBoard inside a notebook. Made by `Board.show`."""

    html: str
    tab: str | None

    def __repr__(self) -> str:
        return f"<TensorBoard{f', {self.tab}' if self.tab else ''}: run the cell to see it>"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        import ipywidgets

        # HTML as such would be stored in the notebook, with a port that is dead for every reader.
        # Of a widget only the text stays.
        widget = ipywidgets.HTML(self.html, layout={"width": "100%"})
        return {**widget._repr_mimebundle_(**options), "text/plain": repr(self)}


def _number(path: Path) -> int:
    """The file's number in the file system; 0 if there is none."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _existing_folder(logdir: str | PathLike[str]) -> Path:
    folder = Path(logdir).expanduser().resolve()
    if folder.is_file():
        raise NotADirectoryError(f"logdir is a file: {logdir}. Give the folder that it lies in.")
    if not folder.is_dir():
        cure = "A SummaryWriter makes it when training starts."
        raise FileNotFoundError(f"there is no folder {logdir} (looked for {folder}). {cure}")
    return folder


def _check_port(port: int) -> None:
    """Refuse a number that is no port, and one that is taken: say by whom."""
    if not isinstance(port, int):
        raise TypeError(f"port must be an integer or None, got {port!r}.")
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be between 1 and 65535, not {port}; leave it out for any.")
    try:  # Windows would let two listen on one, so the server's own error is not enough
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return
    try:
        holder = f"a TensorBoard of {_ask(port, 'environment')['data_location']}"
    except Exception:  # whoever it is, it does not speak as TensorBoard does
        holder = "another program, perhaps Jupyter"
    cure = "Stop that one, or leave out port= and get a free one."
    raise RuntimeError(f"port {port} is taken by {holder}. {cure}")


def _ask(port: int, what: str) -> Any:
    """Ask a TensorBoard on this machine, whatever proxy the environment names."""
    with build_opener(ProxyHandler({})).open(
        f"http://{HOST}:{port}/data/{what}", timeout=5
    ) as said:
        return json.load(said)
