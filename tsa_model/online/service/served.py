"""One model as the service answers with it; a new champion is another one of these."""

from __future__ import annotations

from dataclasses import dataclass

from tsa_model.batch import sequences_of
from tsa_model.online.explaining import Explainer
from tsa_model.online.history import HistoryError, HistoryStore
from tsa_model.online.scorer import OnlineScorer
from tsa_model.online.service import protocol
from tsa_model.online.service.warming import warm_up
from tsa_model.online.wide import WideRows, needs_more_than_rows
from tsa_model.scoring.model import ScoringModel
from tsa_model.sequences import Preprocessing


@dataclass(frozen=True)
class Served:
    """A request takes it once and is answered with it to its end, whatever comes in its place meanwhile."""

    scorer: OnlineScorer
    wide: WideRows | None
    """Reads wide rows; None where the model needs more than they hold."""
    order_outputs: list[str]
    """What is answered to an order."""
    explainer: Explainer
    columns: frozenset[str]
    """Of a raw order, but for its ids and its time."""

    @classmethod
    def of(cls, scorer: OnlineScorer) -> Served:
        """Everything that is made of a model once."""
        model, wide = scorer.model, None
        if not needs_more_than_rows(scorer.description):
            fitted = Preprocessing.load(model.preprocessing_path)
            wide = WideRows(scorer.description, fitted, sequences_of(model.session.input_names))
        d = scorer.description
        columns = frozenset((*d.raw_categorical, *d.raw_numerical, *d.label_columns))
        return cls(scorer, wide, protocol.order_outputs(model), Explainer(scorer), columns)

    @classmethod
    def warmed(cls, model: ScoringModel, store: HistoryStore | None) -> Served:
        """A model over a store that is in use already, ready for its first request.

        Raises:
            HistoryError: the store was made for other columns.
            ValueError: it cannot score.
        """
        if store is None and model.dataset.layout != "wide":
            raise HistoryError("the model reads raw orders, and this service keeps no histories of any")
        served = cls.of(OnlineScorer(model, store))
        served.warm_up()
        return served

    def warm_up(self) -> None:
        """Score made-up orders."""
        warm_up(self.scorer, self.wide)
