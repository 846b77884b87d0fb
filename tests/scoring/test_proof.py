"""Finished score files are held against the events and the reference; what is wrong in them is found."""

from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from tsa_model.scoring.proof.proof import Proof, prove_run
from tsa_model.scoring.proof.statement import Statement, WrongScores

REPOSITORY = Path(__file__).parents[2]
ORDERS = 60
"""Recomputed in a test, to be quick."""


@pytest.fixture(scope="module")
def faults() -> Any:
    sys.path.insert(0, str(REPOSITORY / "benchmarks"))
    yield importlib.import_module("mutants_of_score_files")
    sys.path.remove(str(REPOSITORY / "benchmarks"))


@dataclass(frozen=True)
class Copy:
    """A copy of a scored run's files, to be spoiled."""

    scored: Any
    folder: Any

    def prove(self) -> Proof:
        scoring = self.scored.run.scoring.changed(recomputed_orders=ORDERS)
        scores, report = self.folder.folder, self.folder.report
        return prove_run(scores, self.scored.store, self.scored.events, scoring, report)


@pytest.fixture
def copy(scored, faults, tmp_path) -> Copy:
    shutil.copytree(scored.scores, tmp_path / "scores")
    shutil.copyfile(scored.report, tmp_path / "report.html")
    return Copy(scored, faults.ScoreFolder(tmp_path / "scores", tmp_path / "report.html"))


def test_what_a_run_wrote_is_proven(copy) -> None:
    proof = copy.prove()
    assert [str(one) for one in proof.statements if not one.holds] == []
    assert proof.recomputed == ORDERS
    assert 0 < proof.worst < 5e-6
    assert proof.other_routing == 0
    assert proof.scored_again > 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("scores rounded to six digits", "the score that the session computed"),
        ("two rows exchanged, and in the digest too", "rebuilt alone from the events"),
        ("labels of the next row", "every label is that of the order's own row"),
        ("one time a microsecond too late", "every time is that of the order's own row"),
        ("a row lost, and taken out of the digest too", "every order of the events that is to be scored"),
        ("validation and calibration files exchanged", "every order of the events that is to be scored"),
        ("one percentile one step too high", "every percentile is the one of the order's score"),
        ("one fraud too many in the metrics", "the figures are those of the score files"),
        ("report of another run", "the report shows these figures"),
    ],
)
def test_faults_in_finished_files_are_found(copy, faults, fault, sentence) -> None:
    next(one for one in faults.FILE_FAULTS if one.name == fault).spoil(copy.folder)
    broken = [str(one) for one in copy.prove().statements if not one.holds]
    assert any(sentence in one for one in broken), broken


def test_without_the_digests_of_the_pairs_nothing_is_proven(copy, faults) -> None:
    faults.lose_the_digest(copy.folder)
    with pytest.raises(ValueError, match="digests of the pairs of none, expected"):
        copy.prove()


def test_other_weights_than_those_of_the_export_are_refused(copy, faults) -> None:
    from tsa_model.network.checkpoint import load_model, save_model

    weights = copy.folder.folder / "model" / "network"
    network = load_model(weights)
    with torch.no_grad():
        next(network.parameters()).add_(1e-3)
    save_model(network, weights)
    faults.relist_model(copy.folder)
    copy.folder.seal()
    with pytest.raises(ValueError, match="export the model again"):
        copy.prove()


def test_a_broken_statement_names_orders_and_values() -> None:
    bad = Statement("scores are right", rows=3, wrong=1, detail="")
    with pytest.raises(WrongScores, match="1 of 3 orders"):
        Proof([Statement("all is well"), bad], 3, 0, 0.0, 1).check("the file")


# The catalogue of faults


def test_every_fault_of_the_code_changes_the_code_of_today(faults, tmp_path) -> None:
    catalogue = importlib.import_module("mutants_of_scoring").SCORING_MUTANTS
    names = [one.name for one in (*catalogue, *faults.FILE_FAULTS)]
    assert len(set(names)) == len(names)
    for number, one in enumerate(catalogue):
        copy = tmp_path / str(number) / one.file
        copy.parent.mkdir(parents=True)
        shutil.copy(REPOSITORY / "tsa_model" / one.file, copy)
        one.apply(tmp_path / str(number))
        changed = copy.read_text()
        assert changed != (REPOSITORY / "tsa_model" / one.file).read_text(), one.name
        compile(changed, one.file, "exec")
