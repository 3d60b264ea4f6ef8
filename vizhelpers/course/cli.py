"""The command line: ``python -m vizhelpers open``, ``test``, ``doctor`` and the maintainer's tools.

It must run with nothing installed, on Python 3.9 and later: older than the course itself, because
uv then brings the right one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from vizhelpers._utils.paths import DATA, NOTEBOOKS, ROOT, WEIGHTS
from vizhelpers.course import bootstrap

FIRST_LESSON = NOTEBOOKS / "00_start_here.ipynb"


def parser() -> argparse.ArgumentParser:
    """Describe every command."""
    main = argparse.ArgumentParser(prog="python -m vizhelpers", description=__doc__.split("\n")[0])
    commands = main.add_subparsers(dest="command", required=True, metavar="COMMAND")

    open_ = commands.add_parser("open", help="open the course (JupyterLab's options follow)")
    open_.add_argument("lesson", nargs="?", default=FIRST_LESSON.relative_to(ROOT).as_posix())

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

    shots = commands.add_parser("screenshots", help="make lesson 06's marked pictures again")
    shots.add_argument("pictures", nargs="*", metavar="NAME", help="e.g. images; default: all")

    site = commands.add_parser("site", help="write the course as pages to read, opened from disk")
    site.add_argument("--out", type=Path, default=ROOT / "site", help="a folder; default: site")

    sheet = commands.add_parser("scenes", help="write a contact sheet of all classes")
    sheet.add_argument("--out", type=Path, default=Path("scenes.png"))
    sheet.add_argument("--seed", type=int, default=0)
    return main


def run(arguments: argparse.Namespace, extra: list[str]) -> int:
    """Carry out a command inside an environment that is ready."""
    command = arguments.command
    if command == "open":
        # In a container everybody is root. JupyterLab answers this machine alone, root or not.
        root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        # Unlike a file's name, this also appears in the address that JupyterLab prints.
        lesson = f"--LabApp.default_url=/lab/tree/{arguments.lesson}"
        return bootstrap.call([sys.executable, "-m", "jupyterlab", lesson, *root, *extra])
    if command == "test":
        return bootstrap.call([sys.executable, "-m", "pytest", *extra])
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
    elif command == "screenshots":
        from vizhelpers.course.screenshots import make_screenshots

        for path in make_screenshots(arguments.pictures):
            print(f"wrote {path.relative_to(ROOT)}")
    elif command == "site":
        from vizhelpers.course.site.build import build_site

        try:
            warnings = build_site(arguments.out)
        except OSError as error:  # the folder holds something else, or cannot be written
            raise SystemExit(f"python -m vizhelpers site: {error}") from None
        print(*warnings, f"wrote {arguments.out}: open its index.html in a browser", sep="\n")
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
    inside = bool(os.environ.get(bootstrap.INSIDE)) or bootstrap.environment_is_ready()
    if arguments.command == "doctor" and (inside or not bootstrap.venv_is_ready()):
        from vizhelpers.course.doctor import main as doctor

        return doctor()
    if inside:
        return run(arguments, extra)
    return bootstrap.run_in_course(sys.argv[1:])
