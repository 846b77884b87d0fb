"""Reasons of an order that is scored by itself, from the histories that it was scored from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tsa_model.online.scorer import OnlineScorer
from tsa_model.reasons.attribution import BRIEF
from tsa_model.reasons.explanation import Explanation, OrderFacts, OrderId, explain
from tsa_model.reasons.game import Rules
from tsa_model.reasons.parts import Side

MOST_EXPLAINED = 20
"""Orders of one request: each takes some hundred scored rows."""
SIDES: dict[str, Side] = {"cid": "customer", "ccid": "card"}


class Explainer:
    """Explains raw orders over the histories of a scorer; nothing is recorded.

    Args:
        scorer: an opened model and history store.
    """

    def __init__(self, scorer: OnlineScorer) -> None:
        self._scorer = scorer
        self._rules: Rules | None = None

    def rules(self) -> Rules:
        """What explaining needs, read once.

        Raises:
            ValueError: the model folder holds no background for reasons.
        """
        if self._rules is None:
            self._rules = self._scorer.model.rules()
        return self._rules

    def explain(self, orders: Sequence[Mapping[str, Any]]) -> list[Explanation]:
        """Explain the scores that orders would get now.

        Args:
            orders: raw columns by name; the label may be left out.

        Raises:
            ValueError: as `OnlineScorer.score_many`, or the model folder holds no background for reasons.
        """
        rules, histories = self.rules(), self._scorer.histories
        digest, found = self._scorer.model.description.onnx_sha256, []
        for target in histories.targets(orders):
            earlier: dict[Side, Sequence[OrderId]] = {
                SIDES[kind]: [records.id(row) for row in reversed(range(len(records)))]
                for kind, records in target.histories.items()
            }
            facts = OrderFacts(target.record.id(), earlier)
            found.append(explain(rules, histories.inputs.batch([target]), facts, BRIEF, digest).explanation)
        return found
