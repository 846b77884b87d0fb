"""What the endpoints do, in plain functions from bytes to JSON content."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.requests import Request

from tsa_model.batch import sequences_of
from tsa_model.export.serving import MODEL_NAME
from tsa_model.online.explaining import MOST_EXPLAINED, Explainer
from tsa_model.online.scorer import OnlineScorer, Scored
from tsa_model.online.service import protocol
from tsa_model.online.service.metrics import Metrics
from tsa_model.online.service.requests import Refused, objects, parsed
from tsa_model.online.service.warming import warm_up
from tsa_model.online.wide import WideRows, needs_more_than_rows, positional
from tsa_model.sequences import Preprocessing

EXPLAIN = "explain"
"""Entry of an order that asks for its reasons."""
LABEL_FIELDS = ("order_id", "label", "known_at")


class Handlers:
    """The endpoints' work over one scorer.

    Args:
        scorer: an opened model and history store.
    """

    def __init__(self, scorer: OnlineScorer) -> None:
        self.scorer, self.metrics = scorer, Metrics()
        described = scorer.model.description
        self.metrics.model(described.onnx_sha256, described.verdict_id)
        self._explainer = Explainer(scorer)
        dataset = scorer.description
        self._columns = {*dataset.raw_categorical, *dataset.raw_numerical, dataset.label}
        self._order_outputs = protocol.order_outputs(scorer.model)
        self._wide = None
        if not needs_more_than_rows(scorer.description):
            fitted = Preprocessing.load(scorer.model.preprocessing_path)
            sequences = sequences_of(scorer.model.session.input_names)
            self._wide = WideRows(scorer.description, fitted, sequences)

    def score(self, body: bytes, _: Request) -> Any:
        """`POST /score`: look up, score, record."""
        rows, is_list = objects(parsed(body), "order")
        wanted = [self._is_explained(row) for row in rows]
        explained = self._explained([row for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted])
        answers = self.scorer.score_many(rows)
        self.metrics.scored(answers)
        found = [dict(vars(answer)) for answer in answers]
        for answer, is_wanted in zip(found, wanted, strict=True):
            if is_wanted:
                answer["explanation"] = explained.pop(0)
        return found if is_list else found[0]

    def _is_explained(self, row: dict[str, Any]) -> bool:
        """Whether an order asks for its reasons; the entry is taken out of it."""
        if EXPLAIN not in row or EXPLAIN in self._columns:
            return False
        value = row.pop(EXPLAIN)
        if not isinstance(value, bool):
            raise Refused(422, f"{EXPLAIN} is neither true nor false", {"column": EXPLAIN})
        return value

    def _explained(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Reasons of orders, over the histories as they are before the orders are recorded."""
        if len(rows) > MOST_EXPLAINED:
            most = f"{len(rows)} orders with {EXPLAIN} are more than {MOST_EXPLAINED} at once"
            raise Refused(413, f"{most}: send them in several requests")
        if not rows:
            return []
        try:
            self._explainer.rules()
        except ValueError as error:
            raise Refused(422, f"orders cannot be explained: {error}") from None
        return [each.model_dump(mode="json") for each in self._explainer.explain(rows)]

    def add(self, body: bytes, _: Request) -> Any:
        """`POST /orders`: record without scoring."""
        rows, _is_list = objects(parsed(body), "order")
        n_new = self.scorer.add(rows)
        self.metrics.orders.labels("added").inc(n_new)
        return {"orders": len(rows), "new": n_new}

    def label(self, body: bytes, _: Request) -> Any:
        """`POST /labels`: record labels."""
        rows, _is_list = objects(parsed(body), "label")
        for place, row in enumerate(rows):
            if set(row) != set(LABEL_FIELDS):
                wrong = sorted(set(row) ^ set(LABEL_FIELDS))[0]
                problem = "not there" if wrong in LABEL_FIELDS else "no field of a label"
                message = f"label {place}: {wrong[:80]!r} is {problem}; send {', '.join(LABEL_FIELDS)}"
                raise Refused(422, message, {"row": place, "column": wrong[:80]})
        self.scorer.histories.add_labels([tuple(row[name] for name in LABEL_FIELDS) for row in rows])
        self.metrics.orders.labels("labelled").inc(len(rows))
        return {"labels": len(rows)}

    def predict(self, body: bytes, _: Request) -> Any:
        """`POST /predict`: rows of the wide layout, in the legacy handler's form; nothing is kept."""
        if self._wide is None:
            problem = needs_more_than_rows(self.scorer.model.dataset)
            raise Refused(422, f"{problem}: send raw orders to /score instead")
        content = parsed(body)
        if isinstance(content, dict) and "instances" in content:
            content = content["instances"]
            if not isinstance(content, list):
                raise Refused(422, "instances is no list of orders")
        rows, _is_list = objects(content, "order")
        outputs = self.scorer.outputs_of(self._wide.batch(rows))
        scored = {name: None if values is None else values.tolist() for name, values in outputs.items()}
        self.metrics.orders.labels("predicted").inc(len(rows))
        names = {"score-percentile": "percentile", "legacy-score": "score", "ProbabilityScore": "probability"}
        return {
            "predictions": [
                {name: _text(scored[what], row) for name, what in names.items()} for row in range(len(rows))
            ]
        }

    def infer(self, body: bytes, request: Request) -> Any:
        """Inference of the Open Inference Protocol: tensors, or raw orders as a tensor a column."""
        name, version = request.path_params["model"], request.path_params.get("version", protocol.VERSION)
        if name not in (MODEL_NAME, protocol.ORDERS_NAME) or version != protocol.VERSION:
            raise Refused(404, f"there is no such model; there are {MODEL_NAME} and {protocol.ORDERS_NAME}")
        text, binary = protocol.decoded(body, request.headers.get("inference-header-content-length"))
        content = parsed(text)
        given = protocol.tensors(content, binary)
        if name == MODEL_NAME:
            session = self.scorer.model.session
            wanted = protocol.wanted_outputs(content, session.output_names)
            found = session.run(protocol.checked(given, self.scorer.model))
        else:
            wanted = protocol.wanted_outputs(content, self._order_outputs)
            description = self.scorer.model.dataset
            columns = protocol.order_columns(self.scorer.model)
            answers = self.scorer.score_many(protocol.as_orders(given, columns, description.label))
            self.metrics.scored(answers)
            found = _columns(answers)
        return protocol.response(name, content, {each: found[each] for each in wanted})

    def warm_up(self) -> None:
        """Score made-up orders, with and without a history, so that the first request finds all in place."""
        warm_up(self.scorer, self._wide)

    def close(self) -> None:
        """Close the store."""
        self.scorer.close()


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
