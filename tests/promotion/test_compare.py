"""Challenger against champion on the same orders, and the proofs a challenger needs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score
from support.small_training import small_run

from tsa_model.promotion import Comparison, PromotionConfig, compare_models
from tsa_model.scoring.model import DATASET_FILE, ScoringModel, write_description
from tsa_model.scoring.rows import score_rows
from tsa_model.sealed import with_seal
from tsa_model.sequences import SequenceStore

pytestmark = pytest.mark.slow

CONFIG = PromotionConfig(resamples=200)


def compare(world: Any, challenger: Any, champion: Any, **changes: Any) -> Comparison:
    arguments = {
        "challenger_dir": challenger.model,
        "champion_dir": None if champion is None else champion.model,
        "events": world.events,
        "verdict_path": challenger.verdict,
        "contract_paths": challenger.contracts,
        "config": CONFIG,
    }
    return compare_models(**{**arguments, **changes})


def failed(comparison: Comparison) -> dict[str, str]:
    return {check.name: check.reason for check in comparison.checks if not check.passed}


@pytest.fixture(scope="module")
def better(world: Any) -> Comparison:
    return compare(world, world.good, world.bad)


def test_a_better_challenger_may_be_promoted(better: Comparison) -> None:
    assert better.passed, better.failures
    assert [check.name for check in better.checks] == [
        "gate",
        "parity",
        "contracts",
        "auc",
        "average_precision",
        "slices",
    ]
    assert better.figures["auc"].difference > 0


def test_a_worse_challenger_must_not(world: Any) -> None:
    comparison = compare(world, world.bad, world.good)
    assert not comparison.passed
    assert "auc" in failed(comparison)
    assert "at most 0.005 may be lost" in comparison.failures


def test_both_are_scored_on_every_order_of_the_challengers_test_period(
    world: Any, better: Comparison, tmp_path: Path
) -> None:
    model = ScoringModel.load(world.good.model)
    store = SequenceStore.build(world.events, small_run().dataset, tmp_path / "store")
    rows, labels = store.targets("test"), store.labels("test")
    assert (better.rows, better.frauds) == (rows.size, labels.sum())
    assert better.period == model.dataset.split.window("test")
    score = score_rows(store, model.session, rows).score
    assert better.figures["auc"].challenger == pytest.approx(roc_auc_score(labels, score), abs=1e-9)


def test_an_equal_challenger_passes_even_without_a_margin(world: Any) -> None:
    strict = PromotionConfig(resamples=100, auc_margin=0, average_precision_margin=0)
    comparison = compare(world, world.good, world.good, config=strict)
    assert comparison.passed
    assert comparison.figures["auc"].low == 0


def test_the_first_champion_needs_its_own_proofs_only(world: Any) -> None:
    comparison = compare(world, world.good, None)
    assert comparison.passed
    assert comparison.champion is None
    assert [check.name for check in comparison.checks] == ["gate", "parity", "contracts"]


def test_a_comparison_is_read_back_as_it_was(better: Comparison, tmp_path: Path) -> None:
    better.save(tmp_path / "comparison.json")
    assert Comparison.load(tmp_path / "comparison.json") == better
    assert json.loads((tmp_path / "comparison.json").read_text())["passed"] is True


def test_a_saved_outcome_is_not_believed(world: Any, tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    compare(world, world.good, None, contract_paths=[]).save(path)
    edited = json.loads(path.read_text()) | {"passed": True}
    path.write_text(json.dumps(edited))
    with pytest.raises(ValueError, match="was edited"):
        Comparison.load(path)
    path.write_text(json.dumps(with_seal(edited)))
    assert not Comparison.load(path).passed


def test_without_the_gates_word_nothing_is_promoted(world: Any) -> None:
    comparison = compare(world, world.good, None, verdict_path=world.bad.verdict)
    assert "bad-verdict.json and " in failed(comparison)["gate"]
    assert "do not belong together: the verdict is" in failed(comparison)["gate"]


def test_a_missing_verdict_is_a_failed_gate(world: Any, tmp_path: Path) -> None:
    comparison = compare(world, world.good, None, verdict_path=tmp_path / "none.json")
    assert "is missing" in failed(comparison)["gate"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"passed": False}, "the contract of raw events is broken"),
        ({"dataset": "other"}, "is about 'other', the model was made from 'demo'"),
        ({"passed": "yes"}, "is broken"),
    ],
)
def test_without_kept_contracts_nothing_is_promoted(
    world: Any, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    contract = tmp_path / "contract.json"
    contract.write_text(json.dumps(with_seal(json.loads(world.contracts[0].read_text()) | change)))
    comparison = compare(world, world.good, None, contract_paths=[*world.contracts, contract])
    assert words in failed(comparison)["contracts"]


@pytest.mark.parametrize("content", [None, "[]", "{", '{"passed": true}'])
def test_a_file_that_is_no_contract_result_is_a_failed_contract(
    world: Any, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "contract.json"
    if content is not None:
        path.write_text(content)
    comparison = compare(world, world.good, None, contract_paths=[path])
    assert "is not the result of a contract" in failed(comparison)["contracts"]


@pytest.mark.parametrize("missing", ["raw events", "sequences", "scores", "online"])
def test_every_contract_is_needed(world: Any, missing: str) -> None:
    given = [path for path in world.contracts if missing not in path.name]
    assert len(given) == 3
    assert failed(compare(world, world.good, None, contract_paths=given)) == {
        "contracts": f"the contract's result of {missing} is missing"
    }


@pytest.mark.parametrize("subject", ["sequences", "scores"])
@pytest.mark.parametrize("store", ["1" * 64, None])
def test_a_contract_of_another_run_is_refused(
    world: Any, tmp_path: Path, subject: str, store: str | None
) -> None:
    (path,) = (path for path in world.contracts if subject in path.name)
    other = tmp_path / "other.json"
    other.write_text(json.dumps(with_seal(json.loads(path.read_text()) | {"store_sha256": store})))
    given = [*(one for one in world.contracts if one != path), other]
    reason = failed(compare(world, world.good, None, contract_paths=given))["contracts"]
    stated = "1" * 12 if store else "not stated"
    assert f"{other} and " in reason
    assert f"do not belong together: the sequence store is {stated} in the first" in reason


def test_one_contract_three_times_is_not_three_contracts(world: Any) -> None:
    found = failed(compare(world, world.good, None, contract_paths=world.contracts[:1] * 3))["contracts"]
    assert "of sequences is missing" in found
    assert "of scores is missing" in found
    assert "raw events" not in found


@pytest.mark.parametrize(("share", "rows"), [(1.01, 256), (float("nan"), 256), (0.1, 0)])
def test_without_parity_nothing_is_promoted(world: Any, tmp_path: Path, share: float, rows: int) -> None:
    from tsa_model.promotion.proofs import check_evidence

    model = ScoringModel.load(world.good.model)
    parity = model.description.parity.changed(worst_share_of_tolerance=share, rows=rows)
    changed = replace(model, description=model.description.changed(parity=parity))
    checks = check_evidence(changed, world.good.verdict, world.contracts)
    assert [check.name for check in checks if not check.passed] == ["parity"]


def with_split(world: Any, folder: Path, **moments: str) -> Path:
    """The trained model's folder, its data description with other windows."""
    import shutil

    shutil.copytree(world.good.model, folder)
    description = json.loads((folder / DATASET_FILE).read_text())
    description["split"] |= moments
    (folder / DATASET_FILE).write_text(json.dumps(description))
    write_description(ScoringModel.load(world.good.model).description, folder)
    return folder


def test_a_champion_that_was_trained_on_the_compared_orders_is_refused(world: Any, tmp_path: Path) -> None:
    late = with_split(
        world,
        tmp_path / "late",
        vali_end="2025-04-12T00:00:00Z",
        cali_start="2025-04-12T00:00:00Z",
        cali_end="2025-04-13T00:00:00Z",
        test_start="2025-04-14T00:00:00Z",
    )
    with pytest.raises(ValueError, match="it has seen the answers"):
        compare(world, world.good, None, champion_dir=late)


def test_a_champion_of_an_earlier_period_is_scored_on_the_challengers_orders(
    world: Any, tmp_path: Path, better: Comparison
) -> None:
    early = with_split(world, tmp_path / "early", test_end="2025-04-15T00:00:00Z")
    comparison = compare(world, world.good, None, champion_dir=early)
    assert comparison.rows == better.rows
    assert comparison.figures["auc"].difference == 0
