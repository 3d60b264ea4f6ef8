"""Where the course keeps its files. Only paths belong here."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"
WEIGHTS = DATA / "weights"
IMAGES = DATA / "images"
NOTEBOOKS = ROOT / "notebooks"
