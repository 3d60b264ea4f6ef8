"""Kernels that start at once: forked from a process that has imported PyTorch and its like.

A kernel of its own for each notebook would spend some seven seconds of CPU on imports, sixty times
in one run of the tests. Imported beforehand is only what other packages bring; what a lesson shows
or this project holds is imported in the kernel, as ever. Elsewhere than on Linux, where forking
is not safe, kernels start as Jupyter starts them.
"""

import atexit
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import forkserver, get_context, parent_process
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any
from unittest import mock

from jupyter_client.provisioning import local_provisioner

PRELOADED = (
    *("torch", "torchvision", "timm", "pandas", "scipy.stats", "sklearn"),
    *("ipykernel.kernelapp", "ipywidgets", "anywidget", "IPython.core.magics"),
)

# What counts when Python starts, whichever kernel is the first; all else comes in `run_kernel`.
AT_START = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}


def install() -> None:
    """From now on, this process's `KernelManager`s start forked kernels."""
    if sys.platform == "linux":
        local_provisioner.launch_kernel = ForkedKernel


class ForkedKernel:
    """Stands for a kernel's process, as `subprocess.Popen` would."""

    stdin = stdout = stderr = None

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None = None, **_: Any
    ) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        with mock.patch.dict(os.environ, AT_START):
            forkserver.ensure_running()
        ours, theirs = context.Pipe()
        options = list(command[command.index("-f") :])  # what comes behind the launcher's name
        arguments = (options, dict(env), cwd, theirs)
        self._process = context.Process(target=run_kernel, args=arguments, daemon=True)
        self._process.start()
        self.pid = self._process.pid
        theirs.close()  # so that the next line ends with an error where the process has died
        ours.recv()  # it has a process group of its own, to which signals go
        self.wait = self._process.join
        self.kill, self.terminate = self._process.kill, self._process.terminate

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def run_kernel(
    arguments: list[str], env: dict[str, str], cwd: str | None, ready: Connection
) -> None:
    """Be a kernel, until it is shut down: ``python -m ipykernel_launcher`` in this process."""
    from ipykernel.kernelapp import launch_new_instance

    os.setsid()
    ready.send(True)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(silence, stream)
    Thread(target=end_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or ".")
    # The path that a fresh Python would have, not that of the tests.
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    sys.path[:] = [*filter(None, env.get("PYTHONPATH", "").split(os.pathsep)), *installed]
    sys.modules.pop("sitecustomize", None)
    with suppress(ModuleNotFoundError):
        import_module("sitecustomize")  # such as the guard that refuses the network
    try:
        launch_new_instance(argv=arguments)
    finally:
        atexit._run_exitfuncs()  # such as TensorBoard's end; a forked process leaves them out


def end_with_parent() -> None:
    """End this process when the one that asked for the kernel has ended, however it did."""
    parent_process().join()
    os._exit(1)
