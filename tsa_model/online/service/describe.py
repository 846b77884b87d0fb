"""The service in OpenAPI's words."""

from __future__ import annotations

from typing import Any

from tsa_model.online.service.protocol import VERSION
from tsa_model.scoring.model import ScoringModel


def description_of(model: ScoringModel) -> dict[str, Any]:
    """The OpenAPI description of a server for this model."""
    d = model.dataset
    moment = {"oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}
    identity = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
    columns: dict[str, Any] = {name: {"type": ["string", "null"]} for name in d.raw_categorical}
    for name in d.raw_numerical:
        columns[name] = {"type": ["number", "null"] if name in d.may_be_missing else "number"}
    columns |= {d.order_id: identity, d.customer_id: identity, d.order_time: moment}
    columns[d.label] = {"enum": [0, 1, None]}
    if d.label_time is not None:
        columns[d.label_time] = {"oneOf": [*moment["oneOf"], {"type": "null"}]}
    if d.card_id is not None:
        columns[d.card_id] = {"oneOf": [*identity["oneOf"], {"type": "null"}]}
    order = {
        "type": "object",
        "properties": columns,
        "required": [name for name in columns if name not in d.label_columns],
    }
    label = {
        "type": "object",
        "properties": {"order_id": identity, "label": {"enum": [0, 1]}, "known_at": moment},
        "required": ["order_id", "label", "known_at"],
    }
    answers = {"200": {"description": "Done"}, "422": {"description": "A value breaks the contract"}}
    answers |= {"400": {"description": "No JSON"}, "503": {"description": "The history store is away"}}

    def post(summary: str, item: dict[str, Any]) -> dict[str, Any]:
        schema = {"oneOf": [item, {"type": "array", "items": item}]}
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        return {"post": {"summary": summary, "requestBody": body, "responses": answers}}

    return {
        "openapi": "3.1.0",
        "info": {"title": f"TSA scores of {d.name}", "version": VERSION},
        "paths": {
            "/score": post("Look an order's histories up, score it and record it", order),
            "/orders": post("Record orders without scoring them", order),
            "/labels": post("Record labels", label),
            "/predict": post("Score rows of the wide layout; nothing is kept", {"type": "object"}),
        },
    }
