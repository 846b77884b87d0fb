"""The service follows the champion: swapped in without a lost request, refused where it is broken."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from support.exported import change_model
from support.service import Client, free_port, in_process

from tsa_model.audit.followed import FollowedChampion
from tsa_model.export.file_names import NETWORK_FOLDER
from tsa_model.files import sha256
from tsa_model.network.description import WEIGHTS_FILE
from tsa_model.online import OnlineScorer
from tsa_model.online.digests import digests_of
from tsa_model.online.service.app import make_app
from tsa_model.online.service.follow import Follower
from tsa_model.online.service.handlers import Handlers
from tsa_model.promotion import Comparison, Registry
from tsa_model.promotion.comparison import Condition, ModelIdentity
from tsa_model.promotion.registry import MODELS
from tsa_model.scoring.model import ScoringModel

CLIENTS = 4


@pytest.fixture(scope="module")
def other(scored, tmp_path_factory) -> Path:
    """The same model with a bias towards fraud: other scores, and another digest over the same columns."""
    folder = tmp_path_factory.mktemp("other") / "model"
    shutil.copytree(scored.scores / "model", folder)
    weights, changed = folder / NETWORK_FOLDER / WEIGHTS_FILE, folder.with_name("weights")
    tensors = load_file(weights)
    towards_fraud = np.array([0, 1], np.float32)
    save_file(tensors | {"clf.3.bias": tensors["clf.3.bias"] + towards_fraud}, changed)

    def change(model: onnx.ModelProto) -> None:
        loop = next(node for node in model.graph.node if node.op_type == "Loop")
        body = next(attribute.g for attribute in loop.attribute if attribute.name == "body")
        bias = next(each for each in body.initializer if each.name.endswith("clf.3.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + towards_fraud, bias.name))
        shutil.copyfile(changed, weights)

    change_model(folder, change, weights_sha256=sha256(changed))
    return folder


def promote(registry: Registry, challenger: Path, champion: Path | None) -> None:
    def identity(model: Path) -> ModelIdentity:
        return ModelIdentity.of(ScoringModel.load(model))

    passed = (Condition(name="auc", passed=True, reason="0.9 against 0.8"),)
    before = None if champion is None else identity(champion)
    registry.promote(challenger, Comparison(challenger=identity(challenger), champion=before, checks=passed))


@pytest.fixture
def registry(scored, tmp_path) -> Registry:
    registry = Registry(tmp_path / "registry")
    registry.init()
    promote(registry, scored.scores / "model", None)
    return registry


def handlers_of(registry: Registry, store: Path) -> Handlers:
    champion = FollowedChampion(registry.directory)
    follower = Follower(champion, champion.pointer(), look_s=0.05)
    return Handlers(OnlineScorer.open(champion.verified(), store), follower)


def digest_of(folder: Path) -> str:
    return ScoringModel.load(folder).description.onnx_sha256


def wait_for(client: Client, text: str) -> None:
    end = time.monotonic() + 120
    while text not in client.send("GET", "/metrics")[1].decode():
        assert time.monotonic() < end, text
        time.sleep(0.05)


@pytest.mark.slow
def test_swap_and_rollback_under_load(scored, other, registry, service_rows, tmp_path) -> None:
    good = scored.scores / "model"
    store = tmp_path / "store"
    answers: list[tuple[int, dict]] = []
    stopped = threading.Event()
    port = free_port()

    def send(number: int) -> None:
        client = Client(port)
        for row in service_rows[number::CLIENTS]:
            if stopped.is_set():
                return
            answers.append(client.post("/score", row))

    with in_process(make_app(handlers_of(registry, store)), port) as client:
        threads = [threading.Thread(target=send, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        promote(registry, other, good)
        wait_for(client, f'model_digest="{digest_of(other)}"')
        while answers[-1][1].get("model_digest") != digest_of(other):
            time.sleep(0.05)
        registry.rollback()
        wait_for(client, f'model_digest="{digest_of(good)}"')
        n_before = len(answers)
        while len(answers) < n_before + 2 * CLIENTS and any(thread.is_alive() for thread in threads):
            time.sleep(0.05)
        stopped.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    assert {answer["model_digest"] for _, answer in answers} == {digest_of(good), digest_of(other)}
    assert answers[-1][1]["model_digest"] == digest_of(good)
    assert len({answer["order_id"] for _, answer in answers}) == len(answers)
    check_whole(answers, {digest_of(good): good, digest_of(other): other}, store, service_rows)


def check_whole(answers, folders: dict[str, Path], store: Path, rows: list[dict]) -> None:
    """Each score is that of the one model it names, and not the other's, from the history that it says."""
    by_id = {row["order_id"]: row for row in rows}
    kept = OnlineScorer.open(next(iter(folders.values())), store)
    scorers = {
        digest: OnlineScorer(ScoringModel.load(folder), kept.store) for digest, folder in folders.items()
    }
    n_compared = 0
    for _, answer in answers[-60:]:
        batch = kept.tensors([by_id[answer["order_id"]]])
        if digests_of(batch)[0] != answer["inputs_digest"]:
            continue  # another client's order landed in this history afterwards
        found = {digest: float(each.outputs_of(batch)["score"][0]) for digest, each in scorers.items()}
        assert found.pop(answer["model_digest"]) == answer["score"]
        assert all(abs(score - answer["score"]) > 0.002 for score in found.values())
        n_compared += 1
    assert n_compared > 5
    kept.close()


@pytest.mark.slow
def test_a_broken_champion_is_refused_and_the_old_one_goes_on(
    scored, other, registry, service_rows, tmp_path
):
    good = scored.scores / "model"
    with in_process(make_app(handlers_of(registry, tmp_path / "store")), free_port()) as client:
        first = client.post("/score", service_rows[0])[1]
        promote(registry, other, good)
        folder = registry.champion_dir()
        wait_for(client, f'model_digest="{digest_of(other)}"')
        registry.rollback()
        wait_for(client, f'model_digest="{digest_of(good)}"')
        damaged = folder / "percentile_map.json"
        damaged.write_bytes(damaged.read_bytes()[:-2] + b" }")
        registry_pointer = registry.pointer()
        forward = registry_pointer.history[-2]
        registry._swap(registry_pointer, forward)  # as a hand would do, past every check
        wait_for(client, "tsa_champion_refused 1.0")
        status, answer = client.post("/score", service_rows[1])
        assert (status, answer["model_digest"]) == (200, digest_of(good))
        assert client.post("/score", service_rows[0])[1] == first | {"repeated": True}
        assert folder.parent.name == MODELS


def test_a_service_does_not_begin_with_a_broken_champion(registry, tmp_path) -> None:
    champion = FollowedChampion(registry.directory)
    (registry.champion_dir() / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match=r"dataset\.json"):
        champion.verified()
    empty = Registry(tmp_path / "empty")
    empty.init()
    with pytest.raises(ValueError, match="has no champion yet"):
        FollowedChampion(empty.directory).verified()
