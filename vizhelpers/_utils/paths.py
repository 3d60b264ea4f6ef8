"""File paths of the course: its data, weights, images and notebooks."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT / "data"
WEIGHTS = DATA / "weights"
IMAGES = DATA / "images"
NOTEBOOKS = ROOT / "notebooks"
