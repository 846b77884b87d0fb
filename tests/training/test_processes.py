"""Training in two CPU processes (gloo) against one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import first_gradients
from support.small_training import small_run

from tsa_model.equivalence.gate import judge_model
from tsa_model.network.checkpoint import load_model
from tsa_model.sequences import SequenceStore
from tsa_model.settings.run import RunConfig
from tsa_model.training import train_model
from tsa_model.training.metrics import classification_metrics
from tsa_model.training.processes import check_world_size


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
@pytest.mark.parametrize("use_moe", [True, False])
def test_ddp_gradients_are_those_of_the_joined_batch(
    store: SequenceStore, tmp_path: Path, use_moe: bool
) -> None:
    def run(devices: int, batch_size: int) -> RunConfig:
        content = small_run(devices=devices, batch_size=batch_size).model_dump()
        content["model"] |= {"use_moe": use_moe, "dropout": 0.0, "moe_second_policy_train": "all"}
        return RunConfig.model_validate(content)

    (tmp_path / "two.json").write_text(run(2, 64).model_dump_json())
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    arguments = [str(store.directory), str(tmp_path / "two.json"), str(tmp_path / "two")]
    subprocess.run([*command, first_gradients.__file__, *arguments], check=True, timeout=300)
    first_gradients.save_first_gradients(str(store.directory), run(1, 128), str(tmp_path / "one"))

    one, two = load_file(tmp_path / "one"), load_file(tmp_path / "two")
    assert one.keys() == two.keys()
    assert len(one) > 50
    scale = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-5, atol=1e-6 * scale, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_train_one_whole_model(store: SequenceStore, tmp_path: Path, strategy: str) -> None:
    run = small_run(devices=2, batch_size=50, strategy=strategy)
    result = train_model(store.directory, run, tmp_path / "model", tmp_path / "log")
    assert result["epochs"] == 2

    rows, labels = store.targets("vali"), store.labels("vali")
    assert len(rows) % 50, "the last batch must be a partial one"
    reference = load_model(tmp_path / "model", "reference")
    fast = load_model(tmp_path / "model", "fast")
    with torch.no_grad():
        batches = [store.batch_rows(part) for part in torch.from_numpy(rows.copy()).split(50)]
        scores = torch.cat([fast(batch)[0] for batch in batches]).double().softmax(dim=-1)
        torch.testing.assert_close(reference(batches[0])[0], fast(batches[0])[0])
    expected = classification_metrics(labels, scores.numpy(), ["auroc", "pr_auc"])
    assert result["val/auroc"] == pytest.approx(expected["auroc"], abs=1e-12)
    assert result["val/pr_auc"] == pytest.approx(expected["pr_auc"], abs=1e-12)
    for table in ("embedding.weight", "embedding_gate.weight", "embedding_engineered.weight"):
        assert not fast.state_dict()[table][0].any(), "the padding row is never trained"
    verdict = judge_model(store.directory, tmp_path / "model", run)
    assert verdict.passed, verdict.reason


@pytest.mark.slow
def test_the_first_failure_of_a_process_is_told(store: SequenceStore, tmp_path: Path) -> None:
    run = small_run(devices=2, loss="NoSuchLoss")
    with pytest.raises(RuntimeError, match=r"training in 2 processes ended with status 1: .*NoSuchLoss"):
        train_model(store.directory, run, tmp_path / "model", tmp_path / "log")


def test_training_alone_what_is_meant_for_two_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_world_size(small_run(devices=2).training)
    with pytest.raises(ValueError, match="2 training processes were started, but devices=1 and num_nodes=1"):
        check_world_size(small_run().training)
    monkeypatch.delenv("WORLD_SIZE")
    with pytest.raises(ValueError, match="1 training processes were started, but devices=2"):
        check_world_size(small_run(devices=2).training)


def test_several_nodes_are_started_by_their_cluster(store_dir: Path, tmp_path: Path) -> None:
    run = small_run(devices=2, num_nodes=2)
    with pytest.raises(ValueError, match=r"num_nodes=2: start .*torch\.distributed\.run"):
        train_model(store_dir, run, tmp_path / "model", tmp_path / "log")
