"""Find a class or function in a Python file that is given by its path."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from vizhelpers._utils.messages import did_you_mean, refuse


@contextmanager
def found_in_file(path: Path, name: str) -> Iterator[Any]:
    """Run a Python file and give what has that name in it: a class, a function or a model.

    Inside the block the file's folder is importable, so that its code finds its neighbours.

    Args:
        path: The file. Where it belongs to a package, relative imports work.
        name: What is looked for.

    Raises:
        FileNotFoundError: There is no such file; the message names the nearest ones.
        ValueError: The file fails when it is run, or holds nothing of that name.
    """
    if not path.is_file():
        files = [file.name for file in path.parent.glob("*.py")]
        raise FileNotFoundError(f"there is no {path}. {did_you_mean(path.name, files)}".rstrip())
    root, full_name = path.parent, path.stem
    while (root / "__init__.py").is_file():
        root, full_name = root.parent, f"{root.name}.{full_name}"
    sys.path.insert(0, str(root.resolve()))
    try:
        module = _run(path, full_name)
        found = getattr(module, name, None)
        if not (callable(found) or isinstance(found, nn.Module)):
            refuse(f"{path.name} holds no class or function {name!r}", name, classes_in(path))
        yield found
    finally:
        sys.path.remove(str(root.resolve()))


def classes_in(path: Path) -> list[str]:
    """List the names of a file's own classes and functions, without running it."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.findall(r"^(?:class|def) ([A-Za-z]\w*)", text, re.MULTILINE)


def _run(path: Path, full_name: str) -> ModuleType:
    """The file as a module, made anew at every call: its text may have changed."""
    try:
        if "." in full_name:
            import_module(full_name.rpartition(".")[0])
        spec = spec_from_file_location(full_name, path.resolve())
        assert spec and spec.loader
        module = module_from_spec(spec)
        before = sys.modules.get(full_name)
        sys.modules[full_name] = module  # dataclasses look their module up there
        try:
            spec.loader.exec_module(module)
        finally:
            if before is not None:
                sys.modules[full_name] = before
        return module
    except SystemExit:
        raise ValueError(
            f"{path.name} is a program that ended itself when it was run. Put what it does below "
            "its classes under  if __name__ == '__main__':"
        ) from None
    except Exception as error:  # of code that we do not know
        raise ValueError(f"{path.name} cannot be run: {_where(error, path)}") from error


def _where(error: Exception, path: Path) -> str:
    """What failed, and in which line of the file."""
    lines = [error.lineno] if isinstance(error, SyntaxError) else []
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path.resolve():
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    place = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {getattr(error, 'msg', error)}{place}"
