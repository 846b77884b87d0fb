"""Real clients: Triton's, schemathesis with descriptions of the interface, and sixteen at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from support.online import iso
from support.redis_server import RedisServer
from support.service import Client, free_port, in_process

from tsa_model.online import OnlineScorer
from tsa_model.online.loading import make_empty
from tsa_model.online.service.app import make_app
from tsa_model.online.service.handlers import Handlers
from tsa_model.scoring.model import ScoringModel

PROTOCOL_VARIABLE = "TSA_OPEN_INFERENCE"
"""Path of the official description, open_inference_rest.yaml of kserve/open-inference-protocol."""
AT_ONCE = 16


@pytest.fixture(scope="module")
def port(scored, service_rows, tmp_path_factory):
    """Of a service that knows 200 orders."""
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path_factory.mktemp("clients") / "store")
    scorer.add(service_rows[:200])
    port = free_port()
    with in_process(make_app(Handlers(scorer)), port):
        yield port


@pytest.fixture
def client(port):
    with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client


def test_tritons_client_finds_the_server_and_its_models(client, scored) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tsa", "1")
    assert client.get_server_metadata()["name"] == "tsa"
    described = ScoringModel.load(scored.scores / "model").description
    found = client.get_model_metadata("tsa")
    assert [each["name"] for each in found["inputs"]] == list(described.inputs)
    assert client.get_model_metadata("tsa_orders")["outputs"][0]["name"] == "score"


def test_tritons_client_gets_the_score_of_tensors(client, scored, service_rows) -> None:
    model = ScoringModel.load(scored.scores / "model")
    batch = {
        name: tensor.numpy()
        for name, tensor in scored.store.batch([service_rows[900]["order_id"]]).items()
        if name in model.session.input_names
    }
    types = {each["name"]: each["datatype"] for each in client.get_model_metadata("tsa")["inputs"]}
    for is_binary in (True, False):
        inputs = []
        for name, values in batch.items():
            inputs.append(triton.InferInput(name, list(values.shape), types[name]))
            inputs[-1].set_data_from_numpy(values, binary_data=is_binary)
        found = client.infer("tsa", inputs).as_numpy("score")
        assert found.tobytes() == model.session.run(batch)["score"].tobytes()


def test_tritons_client_gets_the_score_of_raw_orders(client, port, service_rows) -> None:
    chosen = service_rows[201:204]
    inputs = []
    for name in chosen[0]:
        if name != "label":
            texts = ["" if row[name] is None else str(row[name]) for row in chosen]
            inputs.append(triton.InferInput(name, [len(chosen)], "BYTES"))
            inputs[-1].set_data_from_numpy(np.array([text.encode() for text in texts], object))
    found = client.infer("tsa_orders", inputs).as_numpy("score")
    assert [answer["score"] for answer in Client(port).post("/score", chosen)[1]] == found.tolist()


@pytest.mark.slow
def test_generated_requests_of_our_own_description_never_break_the_service(port) -> None:
    described = Client(port).get("/openapi.json")[1]
    assert run(described, port, examples=12) == {"/score", "/orders", "/labels", "/predict"}


@pytest.mark.slow
def test_generated_requests_of_the_protocols_description_never_break_the_service(port) -> None:
    path = os.environ.get(PROTOCOL_VARIABLE, "")
    if not path:
        pytest.skip(f"{PROTOCOL_VARIABLE} names no description of the Open Inference Protocol")
    described = yaml.safe_load(Path(path).read_text())
    assert len(run(described, port, examples=50)) == len(described["paths"])
    # The paths name any model; here they name ours, so that the requests reach it.
    ours: dict[str, Any] = {}
    for each, operations in described["paths"].items():
        operations.pop("parameters", None)
        ours[each.replace("${MODEL_NAME}", "tsa").replace("${MODEL_VERSION}", "1")] = operations
    assert len(run({**described, "paths": ours}, port, examples=200)) == len(ours)


def run(described: dict[str, Any], port: int, examples: int) -> set[str]:
    """Send generated requests to every operation; returns the paths."""
    import schemathesis  # a second that only this test should take

    schema = schemathesis.openapi.from_dict(described)
    paths = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        paths.add(operation.path)

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case) -> None:
            answer = case.call(base_url=f"http://127.0.0.1:{port}")
            assert answer.status_code < 500, (case, answer.text)

        send()
    return paths


@pytest.mark.parametrize("kept_in", ["a folder", pytest.param("Redis", marks=pytest.mark.slow)])
def test_sixteen_clients_at_once_with_orders_of_one_customer(
    scored, service_rows, tmp_path, kept_in, request
) -> None:
    """Six moments, at each of them sixteen orders of one customer at once: scores as one after the other."""
    template = service_rows[-1]
    start = scored.events["order_time"].max() + 3600
    moments = [
        [
            {**template, "order_id": 10**6 + 100 * moment + number, "order_time": iso(start + 60 * moment)}
            | {"amount": 10.0 + number, "label": None}
            for number in range(AT_ONCE)
        ]
        for moment in range(6)
    ]
    alone = OnlineScorer.open(scored.scores / "model", tmp_path / "alone")
    wanted = {each.order_id: each for orders in moments for order in orders for each in [alone.score(order)]}
    alone.close()
    place: Path | str = tmp_path / "many"
    if kept_in == "Redis":
        server = RedisServer(tmp_path / "redis")
        request.addfinalizer(server.stop)
        place = server.url
        make_empty(scored.store.description, place)
    scorer, port = OnlineScorer.open(scored.scores / "model", place), free_port()
    barrier, answers = threading.Barrier(AT_ONCE), []

    def send(number: int) -> None:
        client = Client(port)
        for orders in moments:
            barrier.wait()
            answers.append(client.post("/score", orders[number]))

    with in_process(make_app(Handlers(scorer)), port):
        threads = [threading.Thread(target=send, args=(number,)) for number in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 6 * AT_ONCE
    for status, answer in answers:
        assert status == 200
        expected = wanted[answer["order_id"]]
        assert (answer["score"], answer["history"]) == (expected.score, expected.history)
