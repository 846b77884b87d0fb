from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tsa_model.training.checkpoints import WholeFileIO


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_checkpoint_that_does_not_fit_is_a_clear_error(tmp_path: Path, full_disk: None) -> None:
    path = tmp_path / "last.ckpt"
    WholeFileIO().save_checkpoint({"weights": torch.ones(3)}, path)
    with pytest.raises(OSError, match=r"cannot write .*last\.ckpt .*: File too large; make room"):
        WholeFileIO().save_checkpoint({"weights": torch.ones(10_000)}, path)
    assert WholeFileIO().load_checkpoint(path)["weights"].tolist() == [1, 1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    torch.save({"callback": Path("anything")}, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read"):
        WholeFileIO().load_checkpoint(tmp_path / "last.ckpt")


def test_a_missing_checkpoint_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        WholeFileIO().load_checkpoint(tmp_path / "last.ckpt")


def test_a_removed_checkpoint_is_gone(tmp_path: Path) -> None:
    WholeFileIO().save_checkpoint({}, tmp_path / "last.ckpt")
    WholeFileIO().remove_checkpoint(tmp_path / "last.ckpt")
    WholeFileIO().remove_checkpoint(tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())
