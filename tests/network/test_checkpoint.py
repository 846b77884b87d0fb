from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tsa_model import ModelConfig, Network, build_network
from tsa_model.files import sha256, write_json
from tsa_model.network import checkpoint as module
from tsa_model.network.checkpoint import CheckpointError, load_model, read_description, save_model
from tsa_model.network.description import config_digest
from tsa_model.sealed import with_seal


def config(sequences: str) -> ModelConfig:
    return ModelConfig(
        sequences=sequences,
        dim_embedding_table=4,
        dim_attn_feedforward=4,
        n_layers_order=1,
        n_layers_feature=1,
        num_experts=2,
        n_cat_features=3,
        n_num_features=2,
        n_embedding=12,
        n_engineered_num_features=1,
        seq_len=5,
        moe_eval="deterministic",
    )


@pytest.fixture(params=["single", "dual"])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(1)
    return build_network(config(request.param)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    save_model(build_network(config("dual")), tmp_path / "model", {"note": "kept"})
    return tmp_path / "model"


@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_a_loaded_network_is_the_saved_one(network: Network, tmp_path: Path, implementation: str) -> None:
    digest = save_model(network, tmp_path / "model", {"best_epoch": 3})
    loaded = load_model(tmp_path / "model", implementation)
    assert loaded.config == network.config
    assert loaded.implementation == implementation
    assert not loaded.training
    for (name, tensor), (other, expected) in zip(
        loaded.state_dict().items(), network.state_dict().items(), strict=True
    ):
        assert name == other
        torch.testing.assert_close(tensor, expected, rtol=0, atol=0)
    assert read_description(tmp_path / "model").metadata == {"best_epoch": 3}
    assert sha256(tmp_path / "model" / module.WEIGHTS_FILE) == digest


def test_a_shared_table_is_saved_once_and_stays_shared(folder: Path) -> None:
    tables = [name for name in load_file(folder / module.WEIGHTS_FILE) if name.endswith("embedding.weight")]
    assert tables == ["embedding.weight"]
    loaded = load_model(folder)
    assert loaded.order_attention_ccid.embedding.weight is loaded.feature_attention.embedding.weight


def test_the_same_network_gives_the_same_bytes(network: Network, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(network, tmp_path / name, {"x": 1})
    for file in (module.WEIGHTS_FILE, module.DESCRIPTION_FILE):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_weight_that_is_no_number_is_not_saved(network: Network, folder: Path) -> None:
    before = (folder / module.WEIGHTS_FILE).read_bytes()
    with torch.no_grad():
        network.clf[0].bias[2] = float("nan")
    with pytest.raises(CheckpointError, match=r"1 of the 1024 values of clf\.0\.bias are not finite"):
        save_model(network, folder)
    assert (folder / module.WEIGHTS_FILE).read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def rewrite_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the weights and make every digest right again, as a careful forger would."""
    tensors = load_file(folder / module.WEIGHTS_FILE)
    change(tensors)
    save_file(tensors, folder / module.WEIGHTS_FILE)
    description = read_description(folder).changed(weights_sha256=sha256(folder / module.WEIGHTS_FILE))
    write_json(folder / module.DESCRIPTION_FILE, with_seal(description.model_dump(mode="json")))


def test_one_changed_byte_is_noticed(folder: Path) -> None:
    path = folder / module.WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="the weights were changed or belong to another model"):
        load_model(folder)


def test_an_edited_configuration_is_noticed(folder: Path) -> None:
    path = folder / module.DESCRIPTION_FILE
    path.write_text(path.read_text().replace('"moe_eval": "deterministic"', '"moe_eval": "legacy"'))
    with pytest.raises(CheckpointError, match="was edited"):
        load_model(folder)


def test_weights_that_are_no_numbers_are_refused(folder: Path) -> None:
    rewrite_weights(folder, lambda tensors: tensors["layer_norm.bias"].fill_(float("inf")))
    with pytest.raises(CheckpointError, match=r"values of layer_norm\.bias are not finite"):
        load_model(folder)


def test_missing_and_surplus_names_are_named(folder: Path) -> None:
    def rename(tensors: dict[str, torch.Tensor]) -> None:
        tensors["layer_norm.scale"] = tensors.pop("layer_norm.weight")

    rewrite_weights(folder, rename)
    with pytest.raises(
        CheckpointError, match=r"missing \['layer_norm.weight'\], surplus \['layer_norm.scale'\]"
    ):
        load_model(folder)


@pytest.mark.parametrize("replacement", [torch.zeros(7), torch.zeros(8, dtype=torch.float64)])
def test_another_shape_or_type_is_refused(folder: Path, replacement: torch.Tensor) -> None:
    rewrite_weights(folder, lambda tensors: tensors.update({"layer_norm.bias": replacement}))
    with pytest.raises(CheckpointError, match=r"layer_norm\.bias is torch\.float\d\d \[\d\]"):
        load_model(folder)


@pytest.mark.parametrize("file", [module.WEIGHTS_FILE, module.DESCRIPTION_FILE])
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(CheckpointError, match=f"{file} is missing"):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}', '{"format": 1}'])
def test_a_description_that_is_none_is_refused(folder: Path, text: str) -> None:
    (folder / module.DESCRIPTION_FILE).write_text(text)
    with pytest.raises(CheckpointError, match=module.DESCRIPTION_FILE):
        load_model(folder)


def test_weights_that_are_no_safetensors_are_refused(folder: Path) -> None:
    (folder / module.WEIGHTS_FILE).write_bytes(b"not weights")
    description = json.loads((folder / module.DESCRIPTION_FILE).read_text())
    description.pop("sha256")
    description["weights_sha256"] = sha256(folder / module.WEIGHTS_FILE)
    (folder / module.DESCRIPTION_FILE).write_text(json.dumps(with_seal(description)))
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_model(folder)


def test_a_configuration_keeps_its_digest_when_settings_are_added() -> None:
    # Exported models state this digest: were it another in the next version, no champion could be read there.
    given = config("dual")
    assert config_digest(given) == "178379657bf4655e8d57ad7f4d26c796dabded4a95e803cbc4f15e059c0b6495"
    assert config_digest(given.changed(moe_eval="legacy")) == config_digest(given)
    assert config_digest(given.changed(gate_threshold=0.25)) != config_digest(given)
