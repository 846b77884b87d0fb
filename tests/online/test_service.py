"""The service over HTTP: what it answers to right requests, and to wrong ones."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.online import iso, wide_row
from support.service import Client, free_port, in_process

from commands.serve import command
from tsa_model.online import OnlineScorer
from tsa_model.online.service.app import AT_ONCE, make_app
from tsa_model.online.service.handlers import QUICK_BYTES, Handlers
from tsa_model.online.service.requests import MAX_BYTES, MAX_ORDERS
from tsa_model.scoring.model import ScoringModel


@pytest.fixture(scope="module")
def rows(scored) -> list[dict]:
    events = scored.events.sort_values(["order_time", "order_id"])
    found = events.astype(object).where(events.notna(), None).to_dict("records")
    return [{**row, "order_time": iso(row["order_time"])} for row in found]


@pytest.fixture(scope="module")
def scorer(scored, rows, tmp_path_factory):
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path_factory.mktemp("service") / "store")
    scorer.add(rows[:200])
    return scorer


@pytest.fixture(scope="module")
def client(scorer):
    with in_process(make_app(Handlers(scorer)), free_port()) as client:
        yield client


def test_one_order_and_a_list(client: Client, scored, rows) -> None:
    status, one = client.post("/score", rows[200])
    assert status == 200
    assert one["order_id"] == rows[200]["order_id"]
    assert set(one) >= {"score", "percentile", "calibrated_probability", "model_digest", "gate_id", "history"}
    status, many = client.post("/score", rows[200:203])
    assert (status, len(many)) == (200, 3)
    assert many[0] == one | {"repeated": True}
    assert [answer["order_id"] for answer in many] == [row["order_id"] for row in rows[200:203]]


def test_only_small_requests_over_a_near_store_are_answered_without_a_thread(scorer, monkeypatch) -> None:
    handlers = Handlers(scorer)
    assert handlers.is_quick(b"{}")
    assert not handlers.is_quick(b'{"explain": true}')
    assert not handlers.is_quick(b" " * (QUICK_BYTES + 1))
    monkeypatch.setattr(scorer.store, "is_near", False)
    assert not handlers.is_quick(b"{}")


def test_the_command_lets_as_many_threads_work_as_the_service_does() -> None:
    (threads,) = (each for each in command.params if each.name == "threads")
    assert threads.default == AT_ONCE


def test_times_may_be_text_or_seconds(client: Client, scored, rows) -> None:
    seconds = {int(row.order_id): int(row.order_time) for row in scored.events.itertuples()}
    row = rows[203]
    assert client.post("/score", {**row, "order_time": seconds[row["order_id"]]})[0] == 200
    status, again = client.post("/score", row)
    assert (status, again["repeated"]) == (200, True)


def test_orders_and_labels(client: Client, rows) -> None:
    row = {**rows[204], "label": None}
    assert client.post("/orders", row) == (200, {"orders": 1, "new": 1})
    assert client.post("/orders", [row, row]) == (200, {"orders": 2, "new": 0})
    label = {"order_id": row["order_id"], "label": 1, "known_at": "2025-06-01T00:00:00Z"}
    assert client.post("/labels", label) == (200, {"labels": 1})
    assert client.post("/labels", [label, {**label, "known_at": 1750000000}]) == (200, {"labels": 2})
    status, answer = client.post("/labels", {**label, "order_id": 10**12})
    assert status == 404
    assert "is not kept" in answer["error"]
    assert client.post("/labels", {**label, "label": None})[0] == 422
    assert client.post("/labels", {**label, "known_at": "soon"})[1]["column"] == "known_at"
    assert client.post("/labels", {"order_id": 1, "label": 1})[1]["column"] == "known_at"
    assert client.post("/score", {**row, "amount": 1.5})[0] == 409


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"amount": "much"}, "amount"),
        ({"amount": None}, "amount"),
        ({"order_time": 1.7e12}, "order_time"),
        ({"customer_id": None}, "customer_id"),
        ({"product": ["a"]}, "product"),
        ({"label": 7}, "label"),
    ],
)
def test_a_wrong_value_is_answered_with_column_value_and_remedy(client, rows, change, column) -> None:
    status, answer = client.post("/score", {**rows[205], **change})
    assert (status, answer["column"], answer["row"]) == (422, column, 0)
    assert answer["remedy"] in answer["error"]
    assert column in answer["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b"[" * 100_000, 400),
        (b'{"amount": ' + b"9" * 10_000 + b"}", 400),
        (b"[]", 422),
        (b"17", 422),
        (b"[null]", 422),
        (b"{}", 422),
        (b"[" + b"{}," * MAX_ORDERS + b"{}]", 413),
        (b" " * (MAX_BYTES + 1), 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_no_request_is_refused(client: Client, body: bytes, status: int) -> None:
    for path in ("/score", "/orders", "/labels", "/predict"):
        found, answer = client.send("POST", path, body)
        assert found == status, path
        assert json.loads(answer)["error"]


def test_paths_and_methods(client: Client) -> None:
    assert client.send("GET", "/nothing")[0] == 404
    assert client.send("GET", "/score")[0] == 405
    assert client.get("/v2/health/live")[0] == 200
    assert client.get("/openapi.json")[1]["paths"]["/score"]


broken = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just([]), st.just({"a": 1})
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_fuzzed_orders_never_break_the_service(client: Client, rows, data) -> None:
    row = dict(rows[data.draw(st.integers(206, 215))])
    for column in data.draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        row[column] = data.draw(broken)
    body = json.dumps(row).encode()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(0, len(body)))
        body = body[:cut] + data.draw(st.binary(max_size=3)) + body[cut + data.draw(st.integers(0, 2)) :]
    status, answer = client.send("POST", "/score", body)
    assert status in (200, 400, 409, 422), answer
    if status == 200:
        assert 0 <= json.loads(answer)["score"] <= 1


def test_the_protocols_metadata(client: Client, scored) -> None:
    assert client.get("/v2")[1] == {"name": "tsa", "version": "1", "extensions": ["binary_tensor_data"]}
    status, found = client.get("/v2/models/tsa/versions/1")
    assert (status, found["name"], found["versions"]) == (200, "tsa", ["1"])
    assert client.get("/v2/models/tsa")[1] == found
    described = json.loads((scored.scores / "model" / "onnx.json").read_text())
    assert [each["name"] for each in found["inputs"]] == list(described["inputs"])
    assert client.get("/v2/models/tsa_orders/ready")[0] == 200
    for path in ("/v2/models/other", "/v2/models/tsa/versions/2", "/v2/models/other/ready"):
        assert client.get(path)[0] == 404


def test_inference_with_tensors_gives_the_example_of_the_folder(client: Client, scored) -> None:
    folder = scored.scores / "model"
    request = json.loads((folder / "example_request.json").read_text())
    wanted = json.loads((folder / "example_response.json").read_text())["outputs"][0]["data"]
    status, found = client.post("/v2/models/tsa/infer", {**request, "id": "7"})
    assert (status, found["id"], found["model_name"]) == (200, "7", "tsa")
    assert found["outputs"][0]["data"] == wanted
    parts, header = [], {"outputs": [{"name": "score"}], "inputs": []}
    for each in request["inputs"]:
        dtype = {"INT64": "<i8", "FP32": "<f4", "BOOL": "?"}[each["datatype"]]
        parts.append(np.array(each["data"], dtype).tobytes())
        described = {name: each[name] for name in ("name", "shape", "datatype")}
        header["inputs"].append({**described, "parameters": {"binary_data_size": len(parts[-1])}})
    text = json.dumps(header).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, body = client.send("POST", "/v2/models/tsa/infer", text + b"".join(parts), headers)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, wanted)
    status, body = client.send("POST", "/v2/models/tsa/infer", text + b"".join(parts)[:-1], headers)
    assert status == 400


def test_inference_with_raw_orders_is_the_score(client: Client, rows) -> None:
    chosen = rows[216:219]
    columns = ["order_id", *(name for name in chosen[0] if name not in ("order_id", "label"))]
    texts = {name: ["" if row[name] is None else str(row[name]) for row in chosen] for name in columns}
    inputs = [{"name": name, "datatype": "BYTES", "shape": [3], "data": texts[name]} for name in columns]
    status, found = client.post("/v2/models/tsa_orders/infer", {"inputs": inputs})
    assert status == 200, found
    scores = next(each["data"] for each in found["outputs"] if each["name"] == "score")
    assert [answer["score"] for answer in client.post("/score", chosen)[1]] == scores
    packed = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts["order_id"])
    binary = {**inputs[0], "parameters": {"binary_data_size": len(packed)}}
    del binary["data"]
    text = json.dumps({"inputs": [binary, *inputs[1:]]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, body = client.send("POST", "/v2/models/tsa_orders/infer", text + packed, headers)
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, scores)


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": None},
        {"inputs": [{"name": "x"}]},
        {"inputs": [{"name": "x", "datatype": "FP7", "shape": [1], "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1]}]},
        {"inputs": [{"name": "x", "datatype": "INT8", "shape": [1], "data": [1000]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]},
        {"outputs": [{"name": "nothing"}]},
    ],
)
def test_wrong_inference_requests_get_the_protocols_error(client: Client, scored, change) -> None:
    request = json.loads((scored.scores / "model" / "example_request.json").read_text())
    status, answer = client.post("/v2/models/tsa/infer", {**request, **change})
    assert (status, set(answer)) == (400, {"error"})


def test_the_legacys_form_is_answered_in_the_legacys_form(client: Client, scored, rows) -> None:
    row = wide_row(scored, rows, place=1500)
    status, found = client.post("/predict", [row, row])
    assert status == 200, found
    one, two = found["predictions"]
    assert one == two
    assert set(one) == {"score-percentile", "legacy-score", "ProbabilityScore"}
    assert all("e" not in text for text in one.values())
    batch = scored.store.batch([rows[1500]["order_id"]])
    session = ScoringModel.load(scored.scores / "model").session
    wanted = session.run({name: np.repeat(each.numpy(), 2, axis=0) for name, each in batch.items()})["score"][
        0
    ]
    assert np.float32(one["legacy-score"]) == wanted
    instances = client.post("/v1/models/tsa:predict", {"instances": [row, row]})
    assert instances == (200, found)
    del row["num_objectId_by_cid"]
    assert client.post("/predict", row)[1]["column"] == "num_objectId_by_cid"


def test_metrics_know_requests_scores_and_the_model(client: Client, scored, rows) -> None:
    client.post("/score", rows[220])
    text = client.send("GET", "/metrics")[1].decode()
    digest = json.loads((scored.scores / "model" / "onnx.json").read_text())["onnx_sha256"]
    assert f'model_digest="{digest}"' in text
    for name in ("tsa_request_seconds_bucket", "tsa_score_bucket", "tsa_history_age_seconds_bucket"):
        assert name in text
    assert 'tsa_requests_total{endpoint="score",status="200"}' in text


def test_nothing_of_an_order_is_logged(client: Client, rows, caplog, capfd) -> None:
    marked = {**rows[221], "product": "SECRET-PRODUCT", "amount": "SECRET-AMOUNT"}
    assert client.post("/score", marked)[0] == 422
    assert client.post("/score", {**marked, "amount": 3.0})[0] == 200
    out = caplog.text + "".join(capfd.readouterr())
    assert "SECRET" not in out


def test_an_order_that_asks_gets_its_reasons(client: Client, scorer: OnlineScorer, rows: list[dict]) -> None:
    order = rows[230]
    status, plain = client.post("/score", rows[229])
    assert (status, "explanation" in plain) == (200, False)
    status, answers = client.post("/score", [{**order, "explain": True}, {**rows[231], "explain": False}])
    assert (status, "explanation" in answers[1]) == (200, False)
    found = answers[0]["explanation"]
    assert found["order_id"] == order["order_id"]
    assert found["score"] == pytest.approx(answers[0]["score"], abs=1e-6)
    assert found["earlier_orders"] == {side: each["orders"] for side, each in answers[0]["history"].items()}
    sides = sum(each["contribution"] for each in found["reasons"] if each["level"] == "a")
    assert sides == pytest.approx(found["logit"] - found["background_logit"], abs=1e-5)
    assert all(each["words"] for each in found["reasons"])
    status, again = client.post("/score", {**order, "explain": True})
    assert again["repeated"]
    assert again["explanation"] == found, "what came later changes nothing"
    card = [row["order_id"] for row in rows[:230] if row["card_id"] == order["card_id"] and row["card_id"]]
    told = [each for part in found["parts"] if part["side"] == "card" for each in part["order_ids"]]
    assert len(told) == found["earlier_orders"]["card"]
    assert set(told) <= set(card)


def test_reasons_are_refused_where_there_are_too_many_or_the_wish_is_none(
    client: Client, rows: list[dict]
) -> None:
    status, answer = client.post("/score", [{**rows[240], "explain": True}] * 21)
    assert (status, "21 orders with explain" in json.dumps(answer)) == (413, True)
    status, answer = client.post("/score", {**rows[240], "explain": "yes"})
    assert (status, "neither true nor false" in json.dumps(answer)) == (422, True)
