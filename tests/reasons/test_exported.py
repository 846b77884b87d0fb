"""Reasons from a real exported model: they add up, repeat to the byte, and do not see other rows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.chain import Chain

from tsa_model.export.background import ReasonsDescription
from tsa_model.export.session import ScoringSession
from tsa_model.files import sha256
from tsa_model.reasons import Attribution, Case, Rules, attribute
from tsa_model.scoring import ScoringModel
from tsa_model.sequences import SequenceStore


@pytest.fixture(scope="module")
def model(chain: Chain) -> ScoringModel:
    return ScoringModel.load(chain.places.scores / "model")


@pytest.fixture(scope="module")
def store(chain: Chain) -> SequenceStore:
    return SequenceStore.open(chain.places.store)


def explained(rules: Rules, store: SequenceStore, row: int) -> Attribution:
    return attribute(Case(rules, store.batch_rows(np.array([row]))))


def longest(store: SequenceStore) -> int:
    rows = store.targets("test")
    return int(rows[np.argmax(sum(store.history_lengths(rows).values()))])


def test_contributions_add_up_to_the_score_of_the_file(model: ScoringModel, store: SequenceStore) -> None:
    rules = model.rules()
    for row in (longest(store), int(store.targets("test")[0])):
        result = explained(rules, store, row)
        score = model.session.run(store.batch_rows(np.array([row])))["score"][0]
        assert 1 / (1 + np.exp(-result.logit)) == pytest.approx(score, abs=1e-6)
        whole = sum(side.value for side in result.sides)
        assert whole == pytest.approx(result.logit - result.background_logit, abs=1e-9)
        assert sum(each.value for each in result.parts) == pytest.approx(whole, abs=1e-9)
        assert any(abs(each.value) > 1e-3 for each in result.parts)
        assert result.scored_rows <= 4_000


def test_calls_of_another_size_change_rounding_alone(model: ScoringModel, store: SequenceStore) -> None:
    row, rules = longest(store), model.rules()
    once = explained(rules, store, row)
    assert once == explained(rules, store, row)
    small = ScoringSession(model.session.path, model.session.settings.changed(rows_per_call=7))
    other = explained(Rules(small, rules.dataset, rules.fitted, rules.described), store, row)
    for each, again in zip(once.parts, other.parts, strict=True):
        assert each.value == pytest.approx(again.value, abs=1e-5)


def test_background_is_the_same_genuine_training_orders_every_time(
    chain: Chain, store: SequenceStore
) -> None:
    described = ReasonsDescription.load(chain.places.onnx)
    assert described == ReasonsDescription.of(store, chain.run)
    assert described.amount == "amount"
    rows = store.rows_of([order.order_id for order in described.background])
    assert len(rows) == 64
    assert np.isin(rows, store.targets("train")).all()
    assert not store.labels_of(rows).any()
    batch = store.batch_rows(rows)
    assert (described.categories() == batch["x_seq_cat_cid"][:, -1].numpy()).all()
    n_num = store.n_num_features
    assert (described.numbers()[:, :n_num] == batch["x_seq_num_cid"][:, -1].numpy()).all()
    assert (described.numbers()[:, n_num:] == batch["x_engineered"].numpy()).all()


def test_background_is_sealed_with_the_model(chain: Chain, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(chain.places.scores / "model", model)
    path = model / "reasons.json"
    assert sha256(path) == sha256(chain.places.onnx / "reasons.json")
    content = json.loads(path.read_text())
    content["background"][0]["numbers"][0] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"reasons\.json was changed"):
        ScoringModel.load(model)
