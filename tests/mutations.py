"""Test the tests: change something on purpose, a hundred times, and see whether they notice.

Run: ``python tests/mutations.py --count 100 --seed 0`` (about half an hour on two cores; not part
of the test command). Half of the mutations change what a lesson's file has stored: a digit, a
picture exchanged, mirrored, recoloured or moved, an output removed. The other half change a line
of the helper, a weight, or leave a hook in place, in a copy of the project, and run the tests that
are responsible, then the lessons. Every mutation that nobody notices is printed at the end.
"""

from __future__ import annotations

import argparse
import ast
import base64
import copy
import io
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import nbformat  # noqa: E402
import torch  # noqa: E402
from nbformat import NotebookNode  # noqa: E402
from nbval.plugin import nocolors  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from support.nbval_pictures import PICTURES, LessonCell, pictures  # noqa: E402

from vizhelpers.course.refresh import all_notebooks, compress_picture  # noqa: E402


@dataclass(frozen=True)
class Mutation:
    """What was changed, and whether somebody noticed."""

    what: str
    noticed: bool


# -- what a file has stored -------------------------------------------------------------------

# What nbval itself passes over; pictures are compared by this project's plugin.
SKIPPED = ("metadata", "traceback", "prompt_number", "output_type", "name")
SKIPPED += (
    "execution_count",
    "image/png",
    "image/jpeg",
    "application/vnd.jupyter.widget-view+json",
)


class Comparison(LessonCell):
    """The plugin's cell outside of a test run."""

    ihook = SimpleNamespace(pytest_assertrepr_compare=lambda **_: [])


def outputs_agree(stored: list[NotebookNode], computed: list[NotebookNode]) -> bool:
    """Compare as a test run does, by the very method of the plugin, without a kernel."""
    cell = object.__new__(Comparison)
    cell.parent = SimpleNamespace(skip_compare=SKIPPED, sanitize_patterns={}, slug="mutation")
    cell.colors, cell.cell_num, cell.user_properties = nocolors, 0, []
    with tempfile.TemporaryDirectory() as folder:
        cell.config = SimpleNamespace(rootpath=Path(folder))
        return cell.compare_outputs(computed, stored)


def change_a_digit(outputs: list[NotebookNode], dice: random.Random) -> bool:
    """Change one digit of one printed text."""
    texts = [(o, "text") for o in outputs if re.search(r"\d", o.get("text", ""))]
    texts += [
        (o.data, mime)
        for o in outputs
        if "data" in o
        for mime in ("text/plain", "text/html")
        if re.search(r"\d", o.data.get(mime, "")) and not pictures([o])
    ]
    if not texts:
        return False
    holder, key = dice.choice(texts)
    found = dice.choice(list(re.finditer(r"\d", holder[key])))
    other = dice.choice([d for d in "0123456789" if d != found.group()])
    holder[key] = holder[key][: found.start()] + other + holder[key][found.end() :]
    return True


def of_a_picture(edit: Callable[[Image.Image], Image.Image]) -> Callable[..., bool]:
    """Make a mutation that edits one stored picture."""

    def mutate(outputs: list[NotebookNode], dice: random.Random) -> bool:
        stored = [o for o in outputs if pictures([o])]
        if not stored:
            return False
        output = dice.choice(stored)
        picture = Image.open(io.BytesIO(*pictures([output]))).convert("RGB")
        file = io.BytesIO()
        edit(picture).save(file, "PNG")
        for mime in PICTURES:
            output.data.pop(mime, None)
        output.data["image/png"] = base64.b64encode(file.getvalue()).decode()
        compress_picture(output)
        return True

    return mutate


def moved(picture: Image.Image) -> Image.Image:
    """The picture, three pixels to the right: an axis that has changed."""
    return picture.transform(picture.size, Image.Transform.AFFINE, (1, 0, -3, 0, 1, 0))


def remove_an_output(outputs: list[NotebookNode], dice: random.Random) -> bool:
    """Forget one output."""
    del outputs[dice.randrange(len(outputs))]
    return True


STORED: dict[str, Callable[[list[NotebookNode], random.Random], bool]] = {
    "a digit changed": change_a_digit,
    "a picture mirrored": of_a_picture(ImageOps.mirror),
    "a picture's colours exchanged": of_a_picture(
        lambda p: Image.merge("RGB", [p.getchannel(c) for c in "BGR"])
    ),
    "a picture moved by 3 pixels": of_a_picture(moved),
    "a picture exchanged": of_a_picture(lambda p: Image.new("RGB", p.size, "grey")),
    "an output removed": remove_an_output,
}


def stored_mutations(count: int, dice: random.Random) -> Iterator[Mutation]:
    """Change stored outputs, and compare with the unchanged ones as the plugin does."""
    cells = [
        (path, number, cell)
        for path in all_notebooks()
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells)
        if cell.cell_type == "code" and cell.outputs
        # what is not compared cannot be noticed, and says so
        if "nbval-ignore-output" not in cell.metadata.get("tags", [])
    ]
    done = 0
    while done < count:
        path, number, cell = dice.choice(cells)
        kind = dice.choice(list(STORED))
        changed = copy.deepcopy(cell.outputs)
        if STORED[kind](changed, dice) and changed != cell.outputs:
            done += 1
            noticed = not outputs_agree(changed, cell.outputs)
            yield Mutation(f"{path.relative_to(ROOT)}, cell {number}: {kind}", noticed)


# -- the code, the weights ----------------------------------------------------------------------

FLIPS: dict[type[ast.AST], ast.AST] = {
    ast.Add: ast.Sub(),
    ast.Sub: ast.Add(),
    ast.Mult: ast.Add(),
    ast.Lt: ast.LtE(),
    ast.LtE: ast.Lt(),
    ast.Gt: ast.GtE(),
    ast.GtE: ast.Gt(),
    ast.Eq: ast.NotEq(),
    ast.NotEq: ast.Eq(),
    ast.And: ast.Or(),
    ast.Or: ast.And(),
}


def change_a_line(path: Path, dice: random.Random) -> str:
    """Flip an operator, a flag or a number in a module; returns what was done."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    spots = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for statement in function.body
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in ast.walk(statement)
        if (isinstance(node, ast.BinOp) and type(node.op) in FLIPS)
        or (isinstance(node, ast.BoolOp))
        or (isinstance(node, ast.Compare) and type(node.ops[0]) in FLIPS)
        or (isinstance(node, ast.Constant) and type(node.value) in (bool, int))
    ]
    if not spots:
        return ""
    node = dice.choice(spots)
    before = ast.unparse(node)
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = FLIPS[type(node.op)]  # type: ignore[assignment]
    elif isinstance(node, ast.Compare):
        node.ops[0] = FLIPS[type(node.ops[0])]  # type: ignore[call-overload]
    elif isinstance(node, ast.Constant):
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    path.write_text(ast.unparse(tree) + "\n", encoding="utf-8")
    return f"{path.name}, line {node.lineno}: {before} → {ast.unparse(node)}"


def perturb_a_weight(project: Path, dice: random.Random) -> str:
    """Change one layer of a trained network by a tenth of its spread."""
    path = dice.choice(sorted((project / "data" / "weights").glob("*.safetensors")))
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    name = dice.choice(sorted(n for n, t in state.items() if t.ndim > 1))
    noise = torch.randn(state[name].shape, generator=torch.Generator().manual_seed(0))
    state[name] = state[name] + 0.1 * state[name].float().std() * noise.to(state[name])
    save_file(state, path, metadata)
    return f"{path.name}: {name} changed by a tenth of its spread"


def leave_a_hook(project: Path, dice: random.Random) -> str:
    """Have `preserve_state` forget to put one kind of hooks back."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    kind = dice.choice(kinds)
    path = project / "vizhelpers" / "state.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace(
            "registries = [attributes.get(name) for name in _REGISTRIES]",
            f"registries = [attributes.get(name) for name in _REGISTRIES if name != {kind!r}]",
        ),
        encoding="utf-8",
    )
    return f"state.py: {kind} are left in place"


def run_tests(project: Path, paths: list[str]) -> bool:
    """Whether all tests of these paths pass in a copy of the project."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *paths], cwd=project, capture_output=True, check=False, timeout=1800
    )
    return done.returncode in (0, 5)


def responsible_tests(module: Path) -> list[str]:
    """The folder of tests that mirrors a module's folder."""
    folder = module.relative_to(ROOT / "vizhelpers").parts[0].removesuffix(".py")
    name = {"_utils": "utils"}.get(folder, folder)
    return [f"tests/{name}" if (ROOT / "tests" / name).is_dir() else "tests/core"]


def code_mutation(number: int, seed: int, lessons: bool) -> Mutation | None:
    """Change a copy of the project, and run who is responsible; None where nothing changed."""
    dice = random.Random(f"{seed}/{number}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        project = Path(folder, "project")
        ignored = shutil.ignore_patterns(".git", ".venv", ".uv", "__pycache__", "nbval-diffs")
        shutil.copytree(ROOT, project, ignore=ignored)
        kind = dice.choices(("line", "weight", "hook"), (20, 4, 1))[0]
        if kind == "line":
            module = dice.choice(sorted((ROOT / "vizhelpers").rglob("*.py")))
            what = change_a_line(project / module.relative_to(ROOT), dice)
            tests = responsible_tests(module)
        elif kind == "weight":
            what, tests = perturb_a_weight(project, dice), ["tests/zoo"]
        else:
            what, tests = leave_a_hook(project, dice), ["tests/core"]
        if not what:
            return None
        noticed = not run_tests(project, tests)
        if not noticed and lessons:
            noticed = not run_tests(project, ["notebooks"])
    return Mutation(what, noticed)


def main() -> int:
    """Print every mutation that nobody noticed; the exit code says whether there is one."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-lessons", action="store_true", help="run unit tests only")
    given = parser.parse_args()
    results = list(stored_mutations(given.count // 2, random.Random(given.seed)))
    with ThreadPoolExecutor(given.jobs) as pool:
        rest = range(given.count - len(results))
        tasks = [pool.submit(code_mutation, n, given.seed, not given.no_lessons) for n in rest]
        for task in tasks:
            if (result := task.result()) is not None:
                results.append(result)
                print("noticed " if result.noticed else "SURVIVED", result.what, flush=True)
    survivors = [result.what for result in results if not result.noticed]
    print(f"\n{len(results) - len(survivors)} of {len(results)} mutations were noticed.")
    print("\n".join(f"survived: {what}" for what in survivors))
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main())
