"""The replay passes on what is right, and finds what is wrong."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsa_model.online.proof import stage
from tsa_model.online.proof.faults import Faults
from tsa_model.online.proof.replay import Findings
from tsa_model.online.proof.stage import OnlineError, check_online, problem_of, prove
from tsa_model.online.proof.stream import Extent, Stream
from tsa_model.promotion.proofs import read_contract
from tsa_model.sealed_pages import check_page


@pytest.fixture(autouse=True)
def few(monkeypatch) -> None:
    """A small sample: each order costs as much as in a real run."""
    monkeypatch.setattr(stage, "Extent", lambda: Extent(compared=60, requests=15))


@pytest.fixture
def no_server(monkeypatch) -> None:
    monkeypatch.setattr(stage, "served", lambda *_: nullcontext())


@pytest.fixture(scope="module")
def events(scored, tmp_path_factory):
    """The validated orders of the run."""
    return scored.scores.parents[1] / "validate-events" / "validated"


def test_the_stage_passes_on_a_run_and_writes_what_a_promotion_demands(scored) -> None:
    made = scored.scores.parents[1] / "check-online"
    verdict = json.loads((made / "result").read_text())
    n_test = len(scored.store.targets("test"))
    assert (verdict["compared"], verdict["wanted"], verdict["requests"]) == (n_test, n_test, 200)
    differing = ("tensors", "scores", "in_file", "answers")
    assert [verdict[f"different_{what}"] for what in differing] == [0, 0, 0, 0]
    assert verdict["largest_difference"] <= verdict["tolerance"] == 1e-5
    assert verdict["without_card_history"]
    assert verdict["labels"]
    assert verdict["controls"] == {
        "a history one order short": True,
        "histories an hour older": True,
        "windows an hour off": None,  # the run has neither windows
        "a label a day early": None,  # nor labels in its sequences
        "another scaler": True,
        "another time zone": True,
    }
    assert f"{n_test} orders have the batch's tensors and scores, 200 of them over HTTP" in verdict["reason"]
    result = read_contract(made / "result")
    assert (result.contract, result.passed) == ("online", True)
    check_page(made / "report", made / "result", result.sha256)
    assert sorted(path.name for path in made.iterdir()) == ["report", "result"]


@pytest.mark.usefixtures("no_server")
def test_other_orders_than_the_batch_had_are_found(scored, events, tmp_path) -> None:
    table = pq.read_table(events / "events.parquet")
    amount = table["amount"].to_numpy().copy()
    amount[np.arange(0, len(amount), 2)] *= 1.01
    changed = table.set_column(table.column_names.index("amount"), "amount", pa.array(amount))
    verdict = prove(changed, scored.store.directory, scored.scores / "model", tmp_path / "work")
    assert not verdict.passed
    assert verdict.different_tensors > 20
    assert "tensor x_seq_num" in verdict.example


@pytest.mark.usefixtures("no_server")
def test_a_score_file_of_other_scores_and_a_fault_that_is_not_found_stop_the_run(
    scored, events, tmp_path, monkeypatch
) -> None:
    def other_scores(*words) -> dict[int, float]:
        return {row: score + 0.01 for row, score in in_file(*words).items()}

    in_file = stage._in_file
    monkeypatch.setattr(stage, "_in_file", other_scores)
    monkeypatch.setattr(Faults, "_short", lambda self, _, target: self._inputs.batch([target]))
    with pytest.raises(OnlineError, match="60 of 60 orders have another score in the score file"):
        check_online(
            events, scored.store.directory, scored.scores, scored.run, tmp_path / "r", tmp_path / "p"
        )
    assert "must not be promoted" in (tmp_path / "p").read_text()
    verdict = json.loads((tmp_path / "r").read_text())
    assert (verdict["passed"], verdict["controls"]["a history one order short"]) == (False, False)


@pytest.mark.usefixtures("no_server")
def test_where_keys_tie_too_many_orders_together_the_periods_first_ones_are_compared(
    scored, events, tmp_path
) -> None:
    n_needed = len(Stream.of(events, scored.store, Extent(compared=40)).rows)
    extent = Extent(compared=40, requests=0, streamed=n_needed - 1)
    stream, targets = Stream.of(events, scored.store, extent), scored.store.targets("test")
    first = int(targets.min())
    assert stream.rows.tolist() == list(range(first, first + (n_needed - 1) // 2))
    among = set(targets.tolist()) & set(stream.rows.tolist())
    assert stream.chosen <= among
    assert len(stream.chosen) == min(40, len(among)) > 20
    folders = scored.store.directory, scored.scores / "model", tmp_path / "work"
    verdict = prove(events, *folders, extent=extent)
    assert (verdict.passed, verdict.compared, verdict.different_tensors) == (True, len(stream.chosen), 0)


def test_what_stops_a_run() -> None:
    assert problem_of(Findings(compared=3), 3) == ""
    assert problem_of(Findings(), 3) == "there is no order to compare"
    assert "1 of 3 orders get another answer" in problem_of(Findings(compared=3, different_answers=1), 3)
    missed = Findings(compared=3, controls={"another scaler": False})
    assert problem_of(missed, 3) == "planted faults were not found: another scaler"


def test_files_of_another_run_are_refused(scored, events, tmp_path) -> None:
    shutil.copytree(events, tmp_path / "events")
    table = pq.read_table(tmp_path / "events" / "events.parquet")
    pq.write_table(table.slice(1), tmp_path / "events" / "events.parquet")
    with pytest.raises(ValueError, match="take the orders, the store and the model of one run"):
        prove(
            tmp_path / "events",
            scored.store.directory,
            scored.scores / "model",
            tmp_path / "work",
            scored.scores,
        )
