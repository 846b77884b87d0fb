"""A thousand malformed requests, made of valid ones: the right status, no crash, and no wrong score."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.service import free_port, in_process

from tsa_model.online import OnlineScorer
from tsa_model.online.service.app import make_app
from tsa_model.online.service.handlers import Handlers

N_REQUESTS = 1000
KNOWN = 150
Made = tuple[bytes, int, str | None]
"""The body, the status that it must get, and the column that the answer must name."""


def a_column_less(row: dict, random: np.random.Generator) -> Made:
    column = str(random.choice([name for name in row if name != "label"]))
    return json.dumps({name: value for name, value in row.items() if name != column}).encode(), 422, column


def a_column_of_another_type(row: dict, random: np.random.Generator) -> Made:
    column = str(random.choice(sorted(row)))
    value = [[], {}, [row[column]], {"value": row[column]}][random.integers(4)]
    return json.dumps({**row, column: value}).encode(), 422, column


def a_word_for_a_number(row: dict, random: np.random.Generator) -> Made:
    value = ["much", "1,5,2", "0x1f", "--1"][random.integers(4)]
    return json.dumps({**row, "amount": value}).encode(), 422, "amount"


def a_time_that_is_none(row: dict, random: np.random.Generator) -> Made:
    value = ["yesterday", "2025-13-01T00:00:00Z", "2025-02-30", 1.7e12, -1e18, None][random.integers(6)]
    return json.dumps({**row, "order_time": value}).encode(), 422, "order_time"


def a_label_that_is_none(row: dict, random: np.random.Generator) -> Made:
    return json.dumps({**row, "label": [2, "fraud", 0.5][random.integers(3)]}).encode(), 422, "label"


def an_id_of_another_form(row: dict, random: np.random.Generator) -> Made:
    column = str(random.choice(["order_id", "customer_id"]))
    return json.dumps({**row, column: [None, "x-17", 1.5][random.integers(3)]}).encode(), 422, column


def another_order_of(known: Any) -> Callable[[dict, np.random.Generator], Made]:
    """An order that was sent before, with other values."""

    def another_order_of_a_known_id(row: dict, random: np.random.Generator) -> Made:
        return json.dumps({**row, "order_id": known}).encode(), 409, None

    return another_order_of_a_known_id


def a_text_cut_off(row: dict, random: np.random.Generator) -> Made:
    body = json.dumps(row).encode()
    return body[: int(random.integers(1, len(body)))], 400, None


def a_key_twice(row: dict, random: np.random.Generator) -> Made:
    body, column = json.dumps(row), random.choice(sorted(row))
    return (body[:-1] + f', "{column}": 1}}').encode(), 400, None


def no_utf8(row: dict, random: np.random.Generator) -> Made:
    body = json.dumps(row).encode()
    place = int(random.integers(1, len(body)))
    return body[:place] + b"\xff" + body[place:], 400, None


def no_json_number(row: dict, random: np.random.Generator) -> Made:
    word = ["NaN", "Infinity", "-Infinity", "01", "1."][random.integers(5)]
    body = json.dumps({**row, "amount": "@"}).replace('"@"', word)
    return body.encode(), 400, None


def no_object(row: dict, random: np.random.Generator) -> Made:
    return [b"17", b'"text"', b"null", b"[]", b"[[]]", b"[null]", b"true"][random.integers(7)], 422, None


MUTATIONS: list[Callable[[dict, np.random.Generator], Made]] = [
    a_column_less,
    a_column_of_another_type,
    a_word_for_a_number,
    a_time_that_is_none,
    a_label_that_is_none,
    an_id_of_another_form,
    a_text_cut_off,
    a_key_twice,
    no_utf8,
    no_json_number,
    no_object,
]


@pytest.fixture(scope="module")
def scorer(scored, service_rows, tmp_path_factory) -> OnlineScorer:
    scorer = OnlineScorer.open(scored.scores / "model", tmp_path_factory.mktemp("malformed") / "store")
    scorer.add(service_rows[:KNOWN])
    return scorer


def test_a_thousand_malformed_requests(scorer, scored, service_rows, tmp_path) -> None:
    random, seen = np.random.default_rng(0), Counter[int]()
    stream = service_rows[KNOWN : KNOWN + 50]
    mutations = [*MUTATIONS, another_order_of(service_rows[0]["order_id"])]
    undisturbed = OnlineScorer.open(scored.scores / "model", tmp_path / "store")
    undisturbed.add(service_rows[:KNOWN])
    wanted = [undisturbed.score(row).score for row in stream]
    undisturbed.close()
    before = scorer.store.counts()
    with in_process(make_app(Handlers(scorer)), free_port()) as client:
        for number in range(N_REQUESTS):
            mutate = mutations[number % len(mutations)]
            body, status, column = mutate(dict(stream[number % len(stream)]), random)
            found, text = client.send("POST", ("/score", "/orders")[number % 5 == 0], body)
            answer: dict[str, Any] = json.loads(text)
            assert found == status, (mutate.__name__, body, answer)
            assert answer["error"]
            assert "score" not in answer
            assert column is None or answer["column"] == column, (mutate.__name__, body, answer)
            seen[status] += 1
        assert scorer.store.counts() == before
        for row, score in zip(stream, wanted, strict=True):
            status, answer = client.post("/score", row)
            assert (status, answer["score"]) == (200, score)
    assert seen.keys() == {400, 409, 422}
    assert sum(seen.values()) == N_REQUESTS
