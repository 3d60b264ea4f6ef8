"""No lesson reaches another machine.

`nbval_pictures` runs every notebook under a guard that refuses what leaves this machine, and
fails the cell that tried, also when the lesson itself swallowed the error (`test_nbval_pictures`
shows it). Here: the guard sees every way out, it leaves this machine's own connections alone, and
every notebook is among those that are run under it.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, start_new_kernel
from support import forked_kernels
from support.nbval_pictures import GUARD, LessonCell

from vizhelpers._utils.paths import NOTEBOOKS
from vizhelpers.course.refresh import all_notebooks

# 192.0.2.1 and 2001:db8::1 are set aside for examples: nobody has them.
WAYS_OUT = {
    "urllib": "import urllib.request; urllib.request.urlopen('http://example.com')",
    "requests": "import requests; requests.get('https://example.com')",
    "name": "import socket; socket.getaddrinfo('example.com', 80)",
    "old name": "import socket; socket.gethostbyname('example.com')",
    "IPv4": "import socket; socket.create_connection(('192.0.2.1', 80))",
    "IPv6": "import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "connect_ex": "import socket; socket.socket().connect_ex(('192.0.2.1', 80))",
    "datagram": (
        "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))"
    ),
    "asyncio": "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    "another program": (
        "import subprocess, sys; subprocess.run([sys.executable, '-c',"
        " \"import socket; socket.create_connection(('192.0.2.1', 80))\"], check=True)"
    ),
}
SERVER = "import socket; s = socket.create_server(('127.0.0.1', 0)); p = s.getsockname()[1]; "
WAYS_HERE = {
    "IPv4": SERVER + "socket.create_connection(('127.0.0.1', p))",
    "name": SERVER + "socket.create_connection(('localhost', p))",
    "any address": SERVER + "socket.create_connection(('0.0.0.0', p))",
    "own name": "import socket; socket.gethostname()",
    "pair": "import socket; a, b = socket.socketpair(); a.send(b'1'); b.recv(1)",
    "asyncio": "import asyncio; asyncio.run(asyncio.sleep(0))",
}


def run_guarded(code: str, record: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(GUARD), "NETWORK_RECORD": str(record)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=record.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("way", WAYS_OUT)
def test_guard_refuses_and_records(way: str, tmp_path: Path) -> None:
    answer = run_guarded(WAYS_OUT[way], tmp_path / "record.txt")
    assert answer.returncode != 0
    assert "lessons must work with no network" in answer.stderr
    recorded = (tmp_path / "record.txt").read_text(encoding="utf-8")
    assert any(host in recorded for host in ("example.com", "192.0.2.1", "2001:db8::1"))


@pytest.mark.parametrize("way", WAYS_HERE)
def test_guard_leaves_this_machine_alone(way: str, tmp_path: Path) -> None:
    answer = run_guarded(WAYS_HERE[way], tmp_path / "record.txt")
    assert answer.returncode == 0, answer.stderr
    assert not (tmp_path / "record.txt").exists()


def test_every_notebook_is_run_under_the_guard() -> None:
    found: list[pytest.Item] = []
    plugin = SimpleNamespace(pytest_collection_finish=lambda session: found.extend(session.items))
    pytest.main(["--collect-only", "-qq", "-n0", str(NOTEBOOKS)], [plugin])
    assert {cell.path for cell in found if isinstance(cell, LessonCell)} == set(all_notebooks())


def test_a_forked_kernel_is_guarded_whichever_came_first(tmp_path: Path) -> None:
    forked_kernels.install()
    record = tmp_path / "record.txt"
    guarded = {**os.environ, "PYTHONPATH": str(GUARD), "NETWORK_RECORD": str(record)}
    replies = []
    for environment, code in ((dict(os.environ), "pass"), (guarded, WAYS_OUT["IPv4"])):
        manager, client = start_new_kernel(kernel_name=CURRENT_ENV_KERNEL_NAME, env=environment)
        reply = client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
        replies.append(reply["content"].get("ename"))
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert replies == [None, "ConnectionRefusedError"]
    assert "192.0.2.1" in record.read_text(encoding="utf-8")
