"""Memory is given back: mapped pages leave the process, and what was freed does, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsa_model.memory import forget_pages, give_back

MIB = 2**20


def resident(kind: str) -> int:
    """Bytes of this process in memory, of mapped files (`RssFile`) or its own (`RssAnon`)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1024
    pytest.skip(f"this kernel does not tell {kind}")


def test_pages_of_a_mapped_file_leave_memory_and_are_read_again(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(8 * MIB))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r").view(np.ndarray)
    other, before = np.arange(10), resident("RssFile")
    total = mapped.sum()
    assert resident("RssFile") - before > 48 * MIB
    forget_pages([other, mapped[5:], mapped[:0]])
    assert resident("RssFile") - before < 16 * MIB
    assert mapped.sum() == total
    assert other.tolist() == list(range(10))


def test_memory_that_was_freed_between_pieces_in_use_leaves_the_process() -> None:
    kept, pieces = [], []
    for _ in range(1000):
        pieces.append(np.ones(8 * 1024))  # 64 KiB: of the heap, not a map of its own
        kept.append(np.ones(16))
    before = resident("RssAnon")
    pieces.clear()
    give_back()
    assert before - resident("RssAnon") > 32 * MIB
    assert sum(each.sum() for each in kept) == 16 * len(kept)
