"""The card of a model folder says what its files say, and what is broken in them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.chain import Chain

import pipeline
from tsa_model.card.content import read_card
from tsa_model.card.page import render, write_card
from tsa_model.promotion import Comparison, Registry


def test_the_page_holds_what_the_folder_and_its_scores_say(chain: Chain, tmp_path: Path) -> None:
    model = chain.places.scores / "model"
    done = CliRunner().invoke(
        pipeline.main, ["card", "--model", str(model), "--output", str(tmp_path / "c.html")]
    )
    assert done.exit_code == 0, done.output
    page = (tmp_path / "c.html").read_text()
    metrics = json.loads((chain.places.scores / "metrics.json").read_text())
    assert f"{metrics['test']['auc']['value']:.4f}" in page
    assert f"[{metrics['test']['auc']['low']:.4f}, {metrics['test']['auc']['high']:.4f}]" in page
    assert f"{metrics['orders']['test']:,}" in page
    split = chain.run.dataset.split
    for name in ("train", "vali", "cali", "test"):
        start, end = (getattr(split, f"{name}_{edge}") for edge in ("start", "end"))
        assert f"{start:%Y-%m-%d} to {end:%Y-%m-%d}" in page
    card = read_card(model)
    assert card.about.verdict_id == chain.verdict.verdict_id
    assert card.about.weights_sha256 in page
    assert "Its chain of proof is whole" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")  # nothing is fetched
    assert "https://" not in page


def test_slices_are_shown_where_the_metrics_have_some(chain: Chain) -> None:
    card = read_card(chain.places.scores / "model")
    assert "amount_band" in card.slices
    from tsa_model.card.content import _slices

    content = {
        "<new>": {
            "no": {"orders": 90, "frauds": 30, "auc": {"value": 0.8, "low": 0.7, "high": 0.9}},
            "yes": {"orders": 40, "frauds": 25, "auc": {"value": 0.6, "low": 0.5, "high": 0.7}},
            "few": {"orders": 9, "frauds": 1, "too_small": "1 fraud, fewer than 20"},
        }
    }
    page = render(card._replace(slices=dict(_slices(content))))
    assert "By &lt;new&gt;" in page
    assert "0.8000 [0.7000, 0.9000]" in page
    assert "1 fraud, fewer than 20" in page
    assert "Test AUC by" in page


def test_a_folder_of_a_registry_brings_its_figures_and_its_promotion(chain: Chain, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "champion")
    registry.init()
    entry = registry.promote(chain.places.scores / "model", Comparison.load(chain.places.comparison))
    card = read_card(registry.directory / entry.model)
    assert card.is_champion
    assert {one.name: one.value for one in card.figures}["auc"] == entry.figures["auc"].value
    page = render(card)
    assert f"as {entry.id}, in use" in page
    assert entry.comparison["parity"] in page


def test_a_model_folder_alone_says_that_its_figures_are_elsewhere(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.places.scores / "model", tmp_path / "model")
    card = write_card(tmp_path / "model", tmp_path / "card.html")
    assert card.figures == ()
    assert any("No scores lie beside it" in limit for limit in card.limits)


def test_what_is_no_model_folder_or_was_changed_is_refused(chain: Chain, tmp_path: Path) -> None:
    shutil.copytree(chain.places.scores / "model", tmp_path / "model")
    changed = tmp_path / "model" / "dataset.json"
    changed.write_text(changed.read_text().replace("order_id", "order_ix"))
    refused = CliRunner().invoke(pipeline.main, ["card", "--model", str(tmp_path / "model")])
    assert refused.exit_code == 1
    assert "dataset.json" in refused.output
    with pytest.raises(ValueError, match="is not the folder of an exported model"):
        read_card(tmp_path)
