"""What the endpoints note in the decision log."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tsa_model.events.cleaning import wanted_columns
from tsa_model.online.decisions import DecisionLog, Kind
from tsa_model.online.scorer import Scored
from tsa_model.online.service.served import Served


def now_us() -> int:
    """Microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1000


class Journal:
    """Rows of a decision log.

    Args:
        log: where they go; None = nowhere.
    """

    def __init__(self, log: DecisionLog | None) -> None:
        self._decisions = log

    def scored(
        self, received_us: int, served: Served, orders: Sequence[Mapping[str, Any]], answers: Sequence[Scored]
    ) -> None:
        """Orders that were scored, and their answers."""
        if self._decisions is None:
            return
        head, answered = self._head("score", received_us), now_us()
        rows = []
        for order, answer in zip(orders, answers, strict=True):
            row = {**answer.content(), **head, "answered_us": answered, "content": _content(served, order)}
            row["order_id"] = str(answer.order_id)
            for whose, history in row.pop("history").items():
                row[f"{whose}_orders"] = history["orders"]
            rows.append(row)
        self._decisions.write(rows)

    def added(self, received_us: int, served: Served, orders: Sequence[Mapping[str, Any]]) -> None:
        """Orders that were recorded without a score."""
        if self._decisions is not None:
            head = self._head("order", received_us)
            name = served.scorer.description.order_id
            rows = [{**head, "order_id": str(o[name]), "content": _content(served, o)} for o in orders]
            self._decisions.write(rows)

    def labelled(self, received_us: int, labels: Sequence[Mapping[str, Any]]) -> None:
        """Labels."""
        if self._decisions is not None:
            head = self._head("label", received_us)
            rows = [{**head, "order_id": str(o["order_id"]), "content": json.dumps(o)} for o in labels]
            self._decisions.write(rows)

    def close(self) -> None:
        """Write what is left."""
        if self._decisions is not None:
            self._decisions.close()

    def _head(self, kind: Kind, received_us: int) -> dict[str, Any]:
        return {"kind": kind, "received_us": received_us, "answered_us": now_us()}


def _content(served: Served, order: Mapping[str, Any]) -> str:
    """The columns of an order that have a role, as they were sent."""
    wanted = wanted_columns(served.scorer.description)
    return json.dumps({name: order[name] for name in wanted if name in order}, separators=(",", ":"))
