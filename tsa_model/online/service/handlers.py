"""What the endpoints do, in plain functions from bytes to JSON, as content or written out already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from starlette.requests import Request

from tsa_model.export.file_names import MODEL_NAME
from tsa_model.online.decisions import DecisionLog
from tsa_model.online.explaining import MOST_EXPLAINED
from tsa_model.online.scorer import OnlineScorer, Scored
from tsa_model.online.service import protocol
from tsa_model.online.service.connections import QUICK_BYTES
from tsa_model.online.service.follow import Follower
from tsa_model.online.service.journal import Journal, now_us
from tsa_model.online.service.metrics import Metrics
from tsa_model.online.service.requests import Refused, objects, parsed
from tsa_model.online.service.served import Served
from tsa_model.online.wide import needs_more_than_rows, positional

EXPLAIN = "explain"
"""Entry of an order that asks for its reasons."""
LABEL_FIELDS = ("order_id", "label", "known_at")
Handler = Callable[[bytes, Request | None], Any]
"""Body → content of the answer, by what else the request says where that matters."""


class Handlers:
    """The endpoints' work over the model in use.

    Args:
        scorer: an opened model and history store.
        follower: brings other models in its place; None = the model stays.
        decisions: where answers are logged; None = nowhere.
    """

    def __init__(
        self, scorer: OnlineScorer, follower: Follower | None = None, decisions: DecisionLog | None = None
    ) -> None:
        self.metrics, self.is_ready = Metrics(), False
        self.in_threads = 0
        """Requests that threads work on; only the server's own thread counts them."""
        self._follower, self._log = follower, Journal(decisions)
        self._use(Served.of(scorer))

    @property
    def scorer(self) -> OnlineScorer:
        """Of the model in use."""
        return self._served.scorer

    def is_quick(self, body: bytes) -> bool:
        """Whether a request is answered in a few milliseconds, whatever happens: it waits for nothing."""
        store = self.scorer.store
        is_near = store is None or store.is_near
        return is_near and len(body) <= QUICK_BYTES and EXPLAIN.encode() not in body

    def at_once(self, handler: Handler, body: bytes, request: Request | None = None) -> Any:
        """What a handler answers.

        Raises:
            WouldWait: it would wait for the store; nothing was done.
        """
        store = self.scorer.store
        if store is None:
            return handler(body, request)
        with store.at_once():
            return handler(body, request)

    def start(self) -> None:
        """Warm up; from then on the service is ready."""
        self._served.warm_up()
        self.is_ready = True
        if self._follower is not None:
            self._follower.start(self.scorer.store, self._use, self.metrics.refused)

    def _use(self, served: Served) -> None:
        """Answer with this model from the next request on."""
        self._served = served
        described = served.scorer.model.description
        self.metrics.model(described.onnx_sha256, described.verdict_id)

    def score(self, body: bytes, _: Request | None) -> Any:
        """`POST /score`: look up, score, record."""
        rows, is_list = objects(parsed(body), "order")
        served = self._served
        if any(EXPLAIN in row for row in rows):
            found = self._score_and_explain(served, rows)
            return found if is_list else found[0]
        packed = [answer.packed() for answer in self._score(served, rows)]
        return b"[%b]" % b",".join(packed) if is_list else packed[0]

    def _score_and_explain(self, served: Served, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        wanted = [_is_explained(served, row) for row in rows]
        asking = [row for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted]
        explained = _explained(served, asking)
        found = [answer.content() for answer in self._score(served, rows)]
        for answer, is_wanted in zip(found, wanted, strict=True):
            if is_wanted:
                answer["explanation"] = explained.pop(0)
        return found

    def _score(self, served: Served, rows: list[dict[str, Any]]) -> list[Scored]:
        received = now_us()
        answers = served.scorer.score_many(rows)
        self._log.scored(received, served, rows, answers)
        self.metrics.scored(answers)
        return answers

    def add(self, body: bytes, _: Request | None) -> Any:
        """`POST /orders`: record without scoring."""
        rows, _is_list = objects(parsed(body), "order")
        served, received = self._served, now_us()
        n_new = served.scorer.add(rows)
        self._log.added(received, served, rows)
        self.metrics.counted("added", n_new)
        return {"orders": len(rows), "new": n_new}

    def label(self, body: bytes, _: Request | None) -> Any:
        """`POST /labels`: record labels."""
        rows, _is_list = objects(parsed(body), "label")
        for place, row in enumerate(rows):
            if set(row) != set(LABEL_FIELDS):
                wrong = sorted(set(row) ^ set(LABEL_FIELDS))[0]
                problem = "not there" if wrong in LABEL_FIELDS else "no field of a label"
                message = f"label {place}: {wrong[:80]!r} is {problem}; send {', '.join(LABEL_FIELDS)}"
                raise Refused(422, message, {"row": place, "column": wrong[:80]})
        received = now_us()
        self.scorer.histories.add_labels([tuple(row[name] for name in LABEL_FIELDS) for row in rows])
        self._log.labelled(received, rows)
        self.metrics.counted("labelled", len(rows))
        return {"labels": len(rows)}

    def predict(self, body: bytes, _: Request | None) -> Any:
        """`POST /predict`: rows of the wide layout, in the legacy handler's form; nothing is kept."""
        served = self._served
        if served.wide is None:
            problem = needs_more_than_rows(served.scorer.model.dataset)
            raise Refused(422, f"{problem}: send raw orders to /score instead")
        content = parsed(body)
        if isinstance(content, dict) and "instances" in content:
            content = content["instances"]
            if not isinstance(content, list):
                raise Refused(422, "instances is no list of orders")
        rows, _is_list = objects(content, "order")
        outputs = served.scorer.outputs_of(served.wide.batch(rows))
        scored = {name: None if values is None else values.tolist() for name, values in outputs.items()}
        self.metrics.counted("predicted", len(rows))
        names = {"score-percentile": "percentile", "legacy-score": "score", "ProbabilityScore": "probability"}
        return {
            "predictions": [
                {name: _text(scored[what], row) for name, what in names.items()} for row in range(len(rows))
            ]
        }

    def infer(self, body: bytes, request: Request | None) -> Any:
        """Inference of the Open Inference Protocol: tensors, or raw orders as a tensor a column."""
        assert request is not None
        name, served = protocol.known_model(request), self._served
        model = served.scorer.model
        text, binary = protocol.decoded(body, request.headers.get("inference-header-content-length"))
        content = parsed(text)
        given = protocol.tensors(content, binary)
        if name == MODEL_NAME:
            wanted = protocol.wanted_outputs(content, model.session.output_names)
            found = model.session.run(protocol.checked(given, model))
        else:
            wanted = protocol.wanted_outputs(content, served.order_outputs)
            orders = protocol.as_orders(given, protocol.order_columns(model), model.dataset.label_columns)
            found = _columns(self._score(served, orders))
        return protocol.response(name, content, {each: found[each] for each in wanted})

    def close(self) -> None:
        """Close the store."""
        self.is_ready = False
        if self._follower is not None:
            self._follower.stop()
        self._log.close()
        self.scorer.close()


def _is_explained(served: Served, row: dict[str, Any]) -> bool:
    """Whether an order asks for its reasons; the entry is taken out of it."""
    if EXPLAIN not in row or EXPLAIN in served.columns:
        return False
    value = row.pop(EXPLAIN)
    if not isinstance(value, bool):
        raise Refused(422, f"{EXPLAIN} is neither true nor false", {"column": EXPLAIN})
    return value


def _explained(served: Served, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reasons of orders, over the histories as they are before the orders are recorded."""
    if len(rows) > MOST_EXPLAINED:
        most = f"{len(rows)} orders with {EXPLAIN} are more than {MOST_EXPLAINED} at once"
        raise Refused(413, f"{most}: send them in several requests")
    if not rows:
        return []
    try:
        served.explainer.rules()
    except ValueError as error:
        raise Refused(422, f"orders cannot be explained: {error}") from None
    return [each.model_dump(mode="json") for each in served.explainer.explain(rows)]


def _text(values: list[float] | None, row: int) -> str:
    return "" if values is None else positional(values[row])


def _columns(answers: list[Scored]) -> dict[str, np.ndarray]:
    score = np.array([answer.score for answer in answers], np.float32)
    other = {
        name: np.array([getattr(answer, name) for answer in answers], np.float64)
        for name in ("percentile", "calibrated_probability")
        if getattr(answers[0], name) is not None
    }
    return {"score": score, **other}
