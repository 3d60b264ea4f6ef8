"""A record of progress for each test, English, and lessons that are invented for one test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import vizhelpers.lessons as lesson_code
from vizhelpers.exercises import catalogue, progress_file


@pytest.fixture(autouse=True)
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the record; there is none yet."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(path))
    monkeypatch.delenv("VIZHELPERS_LANG", raising=False)
    monkeypatch.setattr(progress_file, "_session", {})
    return path


@pytest.fixture
def invent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Makes lesson 99 of its code and its texts."""
    folder = tmp_path / "invented"
    (folder / "en").mkdir(parents=True)

    def make(code: str, texts: str) -> None:
        (folder / "lesson_99.py").write_text(code, encoding="utf-8")
        (folder / "en" / "lesson_99.toml").write_text(texts, encoding="utf-8")
        for path in catalogue.TEXTS.glob("en/*.toml"):
            (folder / "en" / path.name).write_bytes(path.read_bytes())
        monkeypatch.setattr(lesson_code, "__path__", [*lesson_code.__path__, str(folder)])
        monkeypatch.setattr(catalogue, "TEXTS", folder)

    yield make
    sys.modules.pop("vizhelpers.lessons.lesson_99", None)
    vars(lesson_code).pop("lesson_99", None)
