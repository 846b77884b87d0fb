"""What is published is whole, and what was there before is not lost."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from tsa_model.files import atomic_file, atomic_folder


def test_a_folder_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "scores") as folder:
            (folder / "file").write_text(text)
    assert (tmp_path / "scores" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "scores") as folder:
        (folder / "file").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_folder(tmp_path / "scores") as folder:
        shutil.rmtree(folder)  # so that there is nothing to rename
    assert (tmp_path / "scores" / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def fill_the_disk(make, target: Path) -> None:
    with make(target) as temporary:
        if make is atomic_file:
            temporary.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("make", [atomic_file, atomic_folder])
def test_a_full_disk_is_named_with_what_was_being_written(tmp_path: Path, make) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*scores'") as failed:
        fill_the_disk(make, tmp_path / "scores")
    assert failed.value.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []
