"""Files that are written beside: whole, or as before."""

from pathlib import Path

import pytest

from vizhelpers._utils.paths import make_writable, written_beside


def test_a_file_is_replaced_at_the_end_and_not_at_all_after_an_interruption(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_beside(path) as draft:
        draft.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    with written_beside(path) as draft:
        draft.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_is_refused_and_one_that_can_be_is_left_empty(
    tmp_path: Path,
) -> None:
    make_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_writable(tmp_path / "file")
