"""The command line: ``python -m vizhelpers open``, ``explore``, ``test``, ``doctor`` and the rest.

It must run with nothing installed, on Python 3.9 and later: older than the course itself, because
uv then brings the right one.
"""

from __future__ import annotations

import argparse
import compileall
import os
import sys
from pathlib import Path

from vizhelpers._utils.paths import DATA, NOTEBOOKS, ROOT, WEIGHTS, written_beside
from vizhelpers.course import bootstrap

FIRST_LESSON = NOTEBOOKS / "00_start_here.ipynb"


def parser() -> argparse.ArgumentParser:
    """Describe every command."""
    main = argparse.ArgumentParser(prog="python -m vizhelpers", description=__doc__.split("\n")[0])
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    open_ = commands.add_parser("open", help="open the course (JupyterLab's options follow)")
    open_.add_argument("lesson", nargs="?", default=FIRST_LESSON.relative_to(ROOT).as_posix())

    _add_explore(commands.add_parser("explore", help="look into any model, in a page of its own"))
    commands.add_parser("test", help="run every test and every lesson (pytest's options follow)")
    commands.add_parser("doctor", help="say whether this machine is ready")
    commands.add_parser("setup", help="only install what the course needs, for later offline use")

    refresh = commands.add_parser("refresh", help="run all notebooks again and store the results")
    refresh.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    refresh.add_argument("--check", action="store_true", help="only say what would change")

    train = commands.add_parser("train", help="make the networks again (about 25 core-minutes)")
    train.add_argument("--only", action="append", metavar="NAME", help="e.g. resnet18-fair")
    train.add_argument("--out", type=Path, default=WEIGHTS)
    train.add_argument("--device", default="auto", help="auto, cpu or cuda")
    train.add_argument("--quick", action="store_true", help="a few images, to see that it runs")

    data = commands.add_parser("data", help="draw the shipped scenes, and cut the photos, again")
    data.add_argument("--out", type=Path, default=DATA)

    site = commands.add_parser("site", help="write the course as pages to read, opened from disk")
    site.add_argument("--out", type=Path, default=ROOT / "site", help="a folder; default: site")

    reset = commands.add_parser("reset", help="empty all results and answers, for the next learner")
    reset.add_argument("what", nargs="*", help="outputs or progress; default: both")
    reset.add_argument("--yes", action="store_true", help="do not ask first")

    report = commands.add_parser("report", help="what you have answered, to hand in; no name in it")
    report.add_argument("--json", action="store_true", help="as a program reads it")
    report.add_argument("--out", type=Path, metavar="FILE", help="write it there, as UTF-8")

    links = commands.add_parser("links", help="put links to Binder and Colab into each lesson")
    links.add_argument("url", help='the repository\'s address on GitHub; "" takes them out')
    links.add_argument("--branch", default="main")

    wheels = commands.add_parser("wheels", help="one folder to copy, for a room without a network")
    wheels.add_argument("folder", type=Path)
    low, high = (minor for _, minor in bootstrap.SUPPORTED)
    systems, pythons = ("windows", "macos", "linux"), [f"3.{n}" for n in range(low, high + 1)]
    wheels.add_argument("--for", nargs="+", dest="systems", choices=systems, default=systems)
    wheels.add_argument("--python", nargs="+", choices=pythons, default=pythons)

    sheet = commands.add_parser("scenes", help="write a contact sheet of all classes")
    sheet.add_argument("--out", type=Path, default=Path("scenes.png"))
    sheet.add_argument("--seed", type=int, default=0)
    return main


def run_for_teachers(arguments: argparse.Namespace) -> None:
    """Carry out a command that teachers need; what goes wrong is said in a line."""
    try:
        if arguments.command == "site":
            from vizhelpers.course.site.build import build_site

            warnings, first = build_site(arguments.out), arguments.out / "index.html"
            print(*warnings, f"Open this page in a browser: {first}", sep="\n")
        elif arguments.command == "reset":
            from vizhelpers.course.reset import reset

            what = arguments.what or ("outputs", "progress")
            done = reset(what, ask=(lambda plan: True) if arguments.yes else confirmed)
            print(f"Done: {', and '.join(done)}." if done else "Nothing was changed.")
        elif arguments.command == "report":
            from vizhelpers.course.report import as_json, as_text

            text = as_json() if arguments.json else as_text()
            if arguments.out:  # a shell's own > may write it in another encoding
                with written_beside(arguments.out) as draft:
                    draft.write_text(text + "\n", encoding="utf-8")
            print(f"wrote {arguments.out}" if arguments.out else text)
        elif arguments.command == "links":
            from vizhelpers.course.links import link_lessons

            changed = link_lessons(arguments.url, arguments.branch)
            print(*(f"changed {path.name}" for path in changed), sep="\n")
        else:
            from vizhelpers.course.wheels import prepare_folder

            ready = prepare_folder(arguments.folder, arguments.systems, arguments.python)
            size = sum(path.stat().st_size for path in ready) / 1e9
            print(f"{len(ready)} wheels, {size:.1f} GB, and the course are in {arguments.folder}.")
    except (OSError, ValueError, RuntimeError) as error:
        raise SystemExit(f"python -m vizhelpers {arguments.command}: {error}") from None


def confirmed(plan: str) -> bool:
    """Ask whether to go on; without somebody who answers, no."""
    try:
        return input(f"{plan} Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _add_explore(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "model",
        help="torchvision:resnet18, timm:resnet26d, course:efficientnet_lite0 or net.py:Net; with "
        "arguments in quotes: 'net.py:Net(width=64)'",
    )
    command.add_argument("pictures", nargs="*", help="files or folders; default: five photos")
    command.add_argument("--weights", metavar="FILE", help="a state dict, .safetensors or .pth")
    command.add_argument("--prefix", metavar="TEXT", help="what its names begin with: module.")
    command.add_argument("--classes", metavar="FILE", help="imagenet, or a file: one name a line")
    command.add_argument("--size", type=int, help="height and width of the input, in pixels")
    command.add_argument("--mean", type=_numbers, metavar="R,G,B", help="of the training pictures")
    command.add_argument("--std", type=_numbers, metavar="R,G,B", help="likewise")
    command.add_argument("--layers", nargs="+", metavar="NAME", help="to begin with, or to save")
    command.add_argument("--save", type=Path, metavar="FILE", help="write report.html, no app")
    command.add_argument("--port", type=int, default=0, help="default: a free one")
    command.add_argument("--no-browser", dest="browser", action="store_false", help="open no page")


def _numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas, as argparse wants them read."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        example = "0.5,0.5,0.5"
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers such as {example}") from None


def run(arguments: argparse.Namespace, extra: list[str]) -> int:
    """Carry out a command inside an environment that is ready."""
    command = arguments.command
    if command in ("site", "reset", "report", "links", "wheels"):
        run_for_teachers(arguments)
        return 0
    if command == "open":
        # In a container everybody is root. JupyterLab answers this machine alone, root or not.
        root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        # Unlike a file's name, this also appears in the address that JupyterLab prints.
        lesson = f"--LabApp.default_url=/lab/tree/{arguments.lesson}"
        return bootstrap.call([sys.executable, "-m", "jupyterlab", lesson, *root, *extra])
    if command == "test":
        # Each lesson's kernel imports vizhelpers anew: from bytecode, also where Python may not
        # write it (PYTHONDONTWRITEBYTECODE is set in many containers).
        compileall.compile_dir(ROOT / "vizhelpers", quiet=2)
        return bootstrap.call([sys.executable, "-m", "pytest", *extra])
    if command == "explore":
        from vizhelpers.course.explore import explore

        explore(arguments)
        return 0
    if command == "refresh":
        from vizhelpers.course.refresh import refresh

        changed = refresh(arguments.notebooks or None, check=arguments.check)
        return int(arguments.check and bool(changed))
    if command == "train":
        from vizhelpers.zoo.training import train_all

        device, only, quick = arguments.device, arguments.only, arguments.quick
        try:
            train_all(arguments.out, device=device, only=only, quick=quick)
        except ValueError as error:  # an unknown network, or --quick without --out
            raise SystemExit(f"python -m vizhelpers train: {error}") from None
    elif command == "data":
        from vizhelpers.scenes.files import write_shipped
        from vizhelpers.zoo.photos import write_photos

        write_shipped(arguments.out / "images")
        write_photos(arguments.out / "photos")
    elif command == "scenes":
        from vizhelpers.scenes.contact_sheets import write_contact_sheet

        write_contact_sheet(arguments.out, seed=arguments.seed)
        print(f"wrote {arguments.out}")
    else:
        print("Everything is installed. Next: python -m vizhelpers open")
    return 0


def main() -> int:
    """Read the command line and run it where the course's packages are."""
    arguments, extra = parser().parse_known_args()
    if extra and arguments.command not in ("open", "test"):
        parser().error(f"unrecognized arguments: {' '.join(extra)}")
    # Where vizhelpers was installed alone, as a package, there is no course to install.
    alone = not bootstrap.REQUIREMENTS.is_file()
    inside = alone or bool(os.environ.get(bootstrap.INSIDE)) or bootstrap.environment_is_ready()
    if arguments.command == "doctor" and (inside or not bootstrap.venv_is_ready()):
        from vizhelpers.course.doctor import main as doctor

        return doctor()
    if inside:
        return run(arguments, extra)
    return bootstrap.run_in_course(sys.argv[1:])
