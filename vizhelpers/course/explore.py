"""The explorer from the command line: as an app in the browser, or saved as a page.

The app is a notebook that Voilà serves to this machine alone, out of a folder that is thrown away.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
import webbrowser
from argparse import Namespace
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from vizhelpers._utils.paths import DATA
from vizhelpers.zoo.your_model import describe_weights

PHOTOS = DATA / "photos"
HOST = "127.0.0.1"
# What the page may load: nothing from elsewhere. Voilà's own page asks for fonts on the Internet.
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    f"connect-src 'self' ws://{HOST}:{{port}} data: blob:"
)
WITHOUT = ["@jupyter-notebook/lab-extension"]  # which does not fit into Voilà's page
KERNEL = "python3"
READY = "The explorer is at {url} (Ctrl-C ends it)"


def explore(arguments: Namespace) -> None:
    """Carry out ``python -m vizhelpers explore``: serve the explorer until Ctrl-C, or save it.

    Args:
        arguments: What `vizhelpers.course.cli.parser` has read.

    Raises:
        SystemExit: The model or a picture cannot be used; says why in one message.
    """
    try:
        names: dict[str, Any] = {}
        # The app runs the same code; what is wrong with it is said here, before a page opens.
        # Here nobody sees the first pane, so it is the one that costs least.
        exec(code_for(arguments, pane=None if arguments.save else "layer"), names)
        weights = describe_weights(names["model"], arguments.weights)
        # The explorer names its own arguments; here they are options.
        notes = [note.replace("transform=", "--mean and --std") for note in names["explorer"].notes]
        about = " ".join([weights, *notes])
        print(f"{arguments.model}. {about}", flush=True)
        if arguments.save:
            path = names["explorer"].save_html(arguments.save, layers=arguments.layers)
            print(f"Wrote {path}: open it in a browser.")
        else:
            names.clear()  # each page loads its own
            notebook = notebook_for(arguments.model, about, code_for(arguments))
            serve(notebook, arguments.port, browser=arguments.browser)
    except KeyboardInterrupt:
        print("Stopped.")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        raise SystemExit(f"python -m vizhelpers explore: {error}") from None


def code_for(arguments: Namespace, *, pane: str | None = None) -> str:
    """Write the Python that makes the explorer, as somebody would in a notebook.

    Args:
        arguments: What the command line has read.
        pane: The pane to begin with.

    Raises:
        ValueError: There is no picture.
    """
    model = [repr(arguments.model)]
    model += [
        f"{name}={value!r}" for name in ("weights", "prefix") if (value := getattr(arguments, name))
    ]
    pictures = arguments.pictures or [str(PHOTOS)]
    if not (arguments.pictures or PHOTOS.is_dir()):  # installed without the course
        raise ValueError("name a picture or a folder of pictures after the model.")
    options = []
    if arguments.mean or arguments.std:
        channels = len(arguments.mean or arguments.std)
        mean, std = arguments.mean or (0.0,) * channels, arguments.std or (1.0,) * channels
        options.append(f"transform=lambda image: vh.normalize(image, {mean}, {std})")
    if arguments.classes:
        options.append(f"classes=vh.zoo.load_classes({arguments.classes!r})")
    if arguments.size:
        options.append(f"size={arguments.size}")
    if arguments.layers:
        options.append(f"layer={arguments.layers[0]!r}")
    if pane:
        options.append(f"pane={pane!r}")
    return "\n".join(
        [
            "import vizhelpers as vh",
            "",
            f"model = vh.zoo.load_your_model({', '.join(model)})",
            f"images = vh.images.list_pictures({', '.join(map(repr, pictures))})",
            f"explorer = vh.explore({', '.join(['model', 'images', *options])})",
        ]
    )


def notebook_for(title: str, about: str, code: str) -> NotebookNode:
    """Make the notebook that is served: what it is about, the explorer, and its Python.

    Args:
        title: The model as it was named.
        about: Sentences about it.
        code: What makes the explorer.
    """
    new = nbformat.v4
    cells = [
        # Paths count from where the command was given.
        new.new_code_cell(f"import os\nos.chdir({str(Path.cwd())!r})"),
        new.new_markdown_cell(f"# {escape(title)}\n\n{escape(about)}"),
        new.new_code_cell(f"{code}\nexplorer"),
        new.new_markdown_cell(f"The same in a notebook:\n\n~~~~python\n{code}\nexplorer\n~~~~"),
    ]
    kernel = {"name": KERNEL, "display_name": KERNEL}
    return new.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def serve(notebook: NotebookNode, port: int, *, browser: bool) -> None:
    """Serve a notebook as an app to this machine, until Ctrl-C or SIGTERM; leave nothing behind.

    Args:
        notebook: Its cells are run for everybody who opens the page.
        port: Where it listens; 0 for a free port.
        browser: Whether to open the page.

    Raises:
        RuntimeError: Voilà is missing.
        ValueError: The port is taken, or is none.
    """
    try:
        from traitlets.config import Config
        from voila.app import Voila
    except ModuleNotFoundError as error:
        raise RuntimeError(
            "the app needs Voilà: pip install voila. Or write a page: --save report.html"
        ) from error

    class App(Voila):  # type: ignore[misc]
        def launch_browser(self) -> None:  # called when it listens
            print(READY.format(url=self.display_url), flush=True)
            if browser:
                webbrowser.open(self.display_url)

    port = free_port(port)
    with tempfile.TemporaryDirectory(prefix="explorer-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        os.environ.update(environment(folder))
        path = folder / "explorer.ipynb"
        nbformat.write(notebook, path)
        settings = {
            "ip": HOST,
            "port": port,
            "port_retries": 0,
            "auto_token": True,  # others on this machine cannot come in
            "open_browser": True,
            "notebook_path": str(path),
            "connection_dir_root": scratch,
            "config_file_paths": [scratch],  # none of the user's own settings
            "log_level": "ERROR",
            "tornado_settings": {
                "headers": {"Content-Security-Policy": POLICY.format(port=port)},
                "ws_ping_timeout": 30_000,  # Voilà's own is longer than it may be
                # So that a page that is left may end its kernel, whose number cannot be guessed.
                "disable_check_xsrf": True,
            },
        }
        pages = {"extension_denylist": WITHOUT}
        app = App(config=Config({"Voila": settings, "VoilaConfiguration": pages}))
        app.initialize([])
        app.start()  # ends with Ctrl-C or SIGTERM
    print("Stopped.")


def free_port(port: int) -> int:
    """Find a free port; one that was asked for must be free.

    Raises:
        ValueError: It is taken, or is none.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"--port must be 0 to 65535, not {port}.")
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ValueError(
                f"port {port} cannot be used: {error.strerror}. Without --port a free one is taken."
            ) from None
        found: int = probe.getsockname()[1]
    return found


def environment(folder: Path) -> dict[str, str]:
    """Say in which environment variables the app and its kernels run: of this Python, on their own.

    Args:
        folder: Takes what they write, and the description of the kernel.
    """
    kernel = folder / "kernels" / KERNEL
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    command.append("--log-level=ERROR")
    spec = {"argv": command, "display_name": KERNEL, "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return {"JUPYTER_PATH": str(folder), **{name: str(folder / name.lower()) for name in own}}
