"""Lazy imports (PEP 562): a package's names are loaded when they are first used.

Only the standard library may be imported here: this runs before anything is installed.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def lazy_imports(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Load the names that a package's ``if TYPE_CHECKING:`` block imports at their first use.

    Type checkers and editors read that block; at run time it is skipped, so this reads it from
    the file. Each name stands in one place, and importing the package costs nothing.

    Args:
        package: The package's ``__name__``.
        file: Its ``__file__``.

    Returns:
        ``__getattr__`` and ``__dir__`` for the package.
    """
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    home = {
        alias.name: f"{statement.module}.{alias.name}"
        if statement.module == package
        else str(statement.module)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    def load(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(home[name])
        value = module if home[name] == f"{package}.{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(home)
