"""A file of one value a line beside the values it must hold, piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from tsa_model.scoring.proof import score_files
from tsa_model.scoring.proof.score_files import differing_lines

VALUES = np.random.default_rng(0).random(100).astype(np.float32)


@pytest.fixture(params=[1, 50, 10**6])
def path(request, tmp_path, monkeypatch):
    monkeypatch.setattr(score_files, "CHARACTERS", request.param)
    return tmp_path / "lines.csv"


def write(path, values) -> None:
    path.write_text("".join(f"{value}\n" for value in values))


@pytest.mark.parametrize("changed", [[], [0], [99], [3, 4, 57]])
def test_the_lines_that_differ_are_named(path, changed) -> None:
    values = VALUES.copy()
    values[changed] = np.nextafter(values[changed], np.float32(2))
    write(path, values)
    assert np.flatnonzero(differing_lines(path, VALUES)).tolist() == changed


@pytest.mark.parametrize("n_lines", [0, 1, 99, 101])
def test_every_line_differs_where_their_number_does(path, n_lines) -> None:
    write(path, [*VALUES, 0.5][:n_lines])
    assert differing_lines(path, VALUES).tolist() == [True] * 100


def test_no_values_have_no_lines(path) -> None:
    write(path, [])
    assert differing_lines(path, VALUES[:0]).tolist() == []
    write(path, [0.5])
    assert differing_lines(path, VALUES[:0]).tolist() == [True]


def test_a_file_that_is_not_there_differs(tmp_path) -> None:
    assert differing_lines(tmp_path / "none", VALUES).all()
