"""The record of what was answered: shared by kernels, never torn, and no file but an own one."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vizhelpers._utils import paths
from vizhelpers._utils.paths import ROOT
from vizhelpers.exercises import check, progress, progress_file, quiz
from vizhelpers.exercises.registry import exercises_of, lessons

OPEN = len(exercises_of("01"))


def counts(lesson: str = "01") -> list[str]:
    """Right, tried, open."""
    return repr(progress(lesson)).splitlines()[2].split()[-3:]


def test_progress_counts_right_tried_and_open(record):
    quiz("01.q2", "a")
    check("01.mult_adds", ...)
    for letter in "abc":  # once right stays right
        quiz("01.q1", letter)
    assert json.loads(record.read_text()) == {"01.q1": "right", "01.q2": "tried"}
    rows = repr(progress("01")).splitlines()
    assert rows[1].split() == ["lesson", "✓", "right", "✗", "tried", "…", "open"]
    assert rows[2].split() == ["01", "print", "vs", "torchinfo", "1", "1", str(OPEN - 2)]
    assert len(repr(progress()).splitlines()) == 2 + len(lessons()) + 1  # the predictions
    assert f'text-align:right">{OPEN - 2}</td>' in progress("01")._repr_html_()
    assert [path.name for path in record.parent.iterdir()] == [record.name]  # nothing beside it
    assert "emptied" in repr(progress("01", reset=True))
    assert counts() == ["0", "0", str(OPEN)]
    with pytest.raises(ValueError, match=r'no lesson "1". There are: 00, 01'):
        progress("1")


@pytest.mark.parametrize(
    "damage", [b"{", b"\xff\xfe", b"[]", b'{"01.q1": 3}', b'{"01.q1": []}', b"", b"[" * 100_000]
)
def test_a_damaged_record_costs_a_notice_and_is_left_alone(record, damage):
    record.write_bytes(damage)
    card = quiz("01.q1", "b")
    assert card
    assert "could not be read" in repr(card)
    assert "could not be read" in repr(progress())
    assert record.read_bytes() == damage
    progress(reset=True)
    assert "could not" not in repr(quiz("01.q1", "b"))


@pytest.mark.parametrize("kind", ["missing/p", "file/p", "folder", "pipe", "device"])
def test_what_is_no_ordinary_file_costs_a_notice_and_stays(tmp_path, monkeypatch, kind):
    path = tmp_path / kind
    (tmp_path / "file").write_text("")
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # reading it would never end
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # as /dev/null is
        except PermissionError:
            pytest.skip("making a device needs root")
    monkeypatch.setenv("VIZHELPERS_PROGRESS", str(path))
    before = path.stat() if path.exists() else None
    card = quiz("01.q1", "b")
    assert card
    assert "could not be" in repr(card)
    assert "could not be" in repr(progress(reset=True))
    after = path.stat() if path.exists() else None
    assert (before and before.st_ino) == (after and after.st_ino)
    assert not list(tmp_path.glob(f"{kind}.*"))


def test_a_link_stays_a_link_and_a_private_file_private(tmp_path, record):
    target = tmp_path / "elsewhere" / "mine.json"
    target.parent.mkdir()
    record.symlink_to(target)
    quiz("01.q1", "b")
    target.chmod(0o640)
    quiz("01.q2", "c")
    assert record.is_symlink()
    assert json.loads(target.read_text()) == {"01.q1": "right", "01.q2": "right"}
    assert target.stat().st_mode & 0o777 == 0o640
    target.chmod(0o600)
    progress(reset=True)
    assert target.stat().st_mode & 0o777 == 0o600
    assert json.loads(target.read_text()) == {}


def test_an_interrupted_write_leaves_the_old_record(record, monkeypatch):
    quiz("01.q1", "b")
    before = record.read_bytes()

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert "could not be saved: No space left on device" in repr(quiz("01.q2", "c"))
    assert record.read_bytes() == before
    assert [path.name for path in record.parent.iterdir()] == [record.name]


def test_a_lock_of_a_killed_kernel_holds_nobody_up(record):
    lock = record.with_name("progress.json.lock")
    lock.touch()
    for age in (3600, -3600):  # a clock may have been set back
        os.utime(lock, (time.time() - age,) * 2)
        assert progress_file.remember("01.q1", True) == ""
        assert not lock.exists()
        lock.touch()


def test_threads_and_processes_lose_no_answer(record):
    code = (
        "import sys\n"
        "from vizhelpers.exercises.progress_file import remember\n"
        "for n in range(7): assert remember(f'{sys.argv[1]}.{n}', n % 2 == 0) == ''\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, f"p{k}"], cwd=ROOT) for k in "123"]

    def answer(name):
        for number in range(7):
            progress_file.remember(f"{name}.{number}", True)

    threads = [threading.Thread(target=answer, args=(f"t{k}",)) for k in range(4)]
    for thread in threads:
        thread.start()
    while any(process.poll() is None for process in processes):
        assert progress_file.load()[1] == ""  # never torn
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(json.loads(record.read_text())) == 7 * (3 + 4)


def test_off_keeps_the_record_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("VIZHELPERS_PROGRESS", "off")
    progress(reset=True)
    quiz("01.q1", "b")
    assert counts() == ["1", "0", str(OPEN - 1)]
    progress(reset=True)
    assert counts() == ["0", "0", str(OPEN)]
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_one_file_at_the_root_of_the_course(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.delenv("VIZHELPERS_PROGRESS")
    quiz("01.q1", "b")
    assert json.loads((tmp_path / ".progress.json").read_text()) == {"01.q1": "right"}
    assert ".progress.json" in (ROOT / ".gitignore").read_text()


def test_what_check_says_does_not_depend_on_the_record():
    fresh = [repr(quiz("01.q1", letter)) for letter in "abc"]
    assert [repr(quiz("01.q1", letter)) for letter in "abc"] == fresh
