"""The whole gate: correct networks pass, wrong ones are stopped, and the verdict says why."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.batches import tiny_config, tiny_evidence, tiny_network
from support.command_line import tsa
from support.small_training import small_run
from support.stages import place, stage_metadata

from tsa_model.equivalence import EquivalenceError, Verdict
from tsa_model.equivalence.checks.algebra import check_algebra
from tsa_model.equivalence.checks.check import Check
from tsa_model.equivalence.checks.contract import check_contract
from tsa_model.equivalence.checks.divergence import check_divergence
from tsa_model.equivalence.gate import Identity, check_equivalence, make_verdict
from tsa_model.equivalence.page.verdict_page import render, worst_of
from tsa_model.equivalence.results import Plot
from tsa_model.files import sha256
from tsa_model.network.checkpoint import read_description, save_model
from tsa_model.sealed import with_seal
from tsa_model.sequences import SequenceStore
from tsa_model.simulation import simulate_orders
from tsa_model.training.runner import model_config

IDENTITY = Identity("weights", "store")
SCHEMA = Path(__file__).parents[2] / "docs" / "verdict.schema.json"


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> tuple[Path, Path]:
    """A small store and an untrained model for it."""
    folder = tmp_path_factory.mktemp("stage")
    run = small_run()
    events = pa.Table.from_pandas(simulate_orders(run.simulation), preserve_index=False)
    store = SequenceStore.build(events, run.dataset, folder / "store")
    save_model(tiny_network(model_config(run, store)), folder / "model")
    return folder / "store", folder / "model"


@pytest.fixture(scope="module")
def passed(chain) -> Verdict:
    """The verdict on the small run's trained network."""
    return chain.verdict


@pytest.fixture(scope="module")
def failed() -> Verdict:
    """The verdict on a network with a NaN weight, of the first check alone."""
    evidence = tiny_evidence(tiny_config("single", n_layers_order=1, n_layers_feature=1))
    block = evidence.networks.shipped.feature_attention.layer_stack_feature[0].feedforward
    with torch.no_grad():
        block.gate.w_gating[0, 0] = float("nan")
    return verdict_of([check_contract(evidence.networks, evidence.sample)], evidence)


def verdict_of(results, evidence, identity=IDENTITY) -> Verdict:
    config = evidence.networks.shipped.config.model_dump(mode="json")
    return make_verdict(results, identity, evidence.sample.summary(), config, 0.0)


def run_stage(stage, folder, model=None):
    paths = folder / "verdict.json", folder / "verdict.html"
    return check_equivalence(stage[0], model or stage[1], small_run(), *paths)


def copied_model(stage, folder) -> Path:
    return Path(shutil.copytree(stage[1], folder / "model"))


def test_a_correct_network_passes_every_check(passed):
    assert passed.passed, passed.reason
    assert [check.number for check in passed.checks] == list(range(9))
    assert all(check.measurements for check in passed.checks)


def test_the_verdict_is_strict_json_and_comes_back_the_same(passed):
    text = json.dumps(passed.model_dump(mode="json"), allow_nan=False)
    assert Verdict.model_validate_json(text) == passed


def test_the_published_schema_is_that_of_the_verdict():
    assert json.loads(SCHEMA.read_text()) == Verdict.model_json_schema()


def test_nan_weights_fail_the_contract_first(failed):
    assert not failed.passed
    assert failed.reason.startswith("check 0 (Contract) failed: weights that are NaN or infinite is 1")
    assert "feature_attention.layer_stack_feature.0.feedforward.gate.w_gating" in failed.reason


def test_another_computation_is_stopped_and_located():
    evidence = tiny_evidence(tiny_config("single", n_layers_order=1, n_layers_feature=1))
    shipped = evidence.networks.shipped64
    shipped.feature_attention.register_forward_hook(lambda _, args, output: output * (1 + 1e-5))
    evidences = {"trained weights": evidence}
    verdict = verdict_of([check_algebra(evidences), check_divergence(evidences)], evidence)
    assert verdict.reason.startswith("check 1 (Algebra in float64) failed: trained weights, logits")
    assert "first divergence teacher-forced: feature_attention differs by" in verdict.reason


def test_a_check_that_cannot_be_carried_out_has_failed():
    def run(subject):
        raise RuntimeError("shapes cannot be multiplied")

    result = Check(4, "Training", "Would both learn the same?", run).carry_out(None)
    assert not result.passed
    assert result.reason == "RuntimeError: shapes cannot be multiplied"


def test_the_page_starts_with_the_verdict(passed, failed):
    page = render(passed)
    assert page.index("✓ Equivalent") < page.index("The checks") < page.index("0 Contract")
    assert "ULP" in page
    assert "<svg" in page
    assert passed.environment["processor_flags"] in page
    page = render(failed)
    assert page.index("✗ Not proven equivalent") < page.index("The checks")
    assert "the run was stopped" in page


def test_the_page_needs_nothing_beside_it(passed):
    page = render(passed)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_the_page_escapes_what_the_data_says(passed):
    check = passed.checks[0].model_copy(update={"reason": "order <script>alert(1)</script>"})
    assert "<script>" not in render(passed.model_copy(update={"checks": [check]}))


def test_the_page_escapes_names_ids_and_charts(failed):
    evil = "<script>alert(1)</script>"
    plots = [
        Plot(
            title=evil, kind=kind, x_label=evil, y_label=evil, labels=[evil], series={evil: [1.0]}, bound=0.1
        )
        for kind in ("bars", "points")
    ]
    one = failed.checks[0].measurements[0].changed(name=evil, where=evil)
    check = failed.checks[0].changed(
        name=evil, question=evil, reason=evil, notes=[evil], measurements=[one], plots=plots
    )
    page = render(
        failed.changed(
            checks=[check], reason=evil, weights_sha256=evil, config={evil: evil}, environment={evil: [evil]}
        )
    )
    assert page.count("<svg") == 2
    assert "<script" not in page


def test_the_overview_shows_the_failed_measurement(failed):
    assert worst_of(failed.checks[0]).name == "weights that are NaN or infinite"


def test_a_verdict_is_known_by_its_content(failed):
    evidence = tiny_evidence(tiny_config("single", n_layers_order=1, n_layers_feature=1))
    again = verdict_of(failed.checks, evidence)
    other = verdict_of(failed.checks, evidence, Identity("other weights", "store"))
    assert again.verdict_id == failed.verdict_id != other.verdict_id


def test_the_stage_writes_both_files_and_returns_plain_metrics(chain):
    found = stage_metadata(chain.places.folder)["check_equivalence"]["verdict"]
    verdict = json.loads(chain.places.verdict.read_text())
    assert verdict["passed"] is True
    assert (verdict["verdict_id"], verdict["weights_sha256"]) == (
        found["verdict_id"],
        found["weights_sha256"],
    )
    assert verdict["sample"]["real_rows"] == 200
    page = place(chain.places.folder, "check_equivalence", "report")
    assert page.read_text().startswith("<!doctype html>")
    assert found["passed"] is True
    assert "9 checks" in found["key_figure"]


def test_a_tampered_checkpoint_is_refused(stage, tmp_path, capsys):
    model = copied_model(stage, tmp_path)
    weights = model / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EquivalenceError, match="the weights were changed or belong to another model"):
        run_stage(stage, tmp_path, model)
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    assert verdict["passed"] is False
    assert verdict["checks"][0]["name"] == "Contract"
    arguments = ["check", "--store", str(stage[0]), "--model", str(model)]
    arguments += ["--verdict", str(tmp_path / "v.json"), "--report", str(tmp_path / "v.html")]
    assert tsa(*arguments) == 1
    assert "NOT PROVEN EQUIVALENT: check 0 (Contract) failed" in capsys.readouterr().err


def test_nan_weights_are_refused(stage, tmp_path):
    model = copied_model(stage, tmp_path)
    tensors = load_file(model / "model.safetensors")
    tensors["clf.0.weight"][0, 0] = float("nan")
    save_file(tensors, model / "model.safetensors")
    description = read_description(model).changed(weights_sha256=sha256(model / "model.safetensors"))
    (model / "model.json").write_text(json.dumps(with_seal(description.model_dump(mode="json"))))
    with pytest.raises(EquivalenceError, match=r"1 of the \d+ values of clf\.0\.weight are not finite"):
        run_stage(stage, tmp_path, model)


@pytest.mark.slow
def test_a_baseline_of_another_model_stops_the_command(stage, tmp_path, capsys):
    baseline = tmp_path / "baseline"
    baseline.mkdir()
    (baseline / "baseline.json").write_text('{"format": 1, "files": []}')
    arguments = ["check", "--store", str(stage[0]), "--model", str(stage[1]), "--baseline", str(baseline)]
    arguments += ["--verdict", str(tmp_path / "v.json"), "--report", str(tmp_path / "v.html")]
    assert tsa(*arguments) == 1
    assert "check 6 (Legacy baseline) failed" in capsys.readouterr().err


def test_help_teaches(capsys):
    assert tsa("--help") == 0
    shown = capsys.readouterr().out
    assert "capture" in shown
    assert "examples" in shown
