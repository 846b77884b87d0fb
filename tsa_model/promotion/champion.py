"""What a run must know of the champion before its first stage does any work."""

from __future__ import annotations

from pathlib import Path

from tsa_model.promotion.compare import check_unseen
from tsa_model.promotion.registry import Registry
from tsa_model.scoring.model import ScoringModel
from tsa_model.settings.dataset import DatasetDescription


def check_champion(champion: str | Path, promote: bool) -> None:
    """Refuse a run whose last stage could not find the champion.

    Args:
        champion: folder of the registry; empty = none.
        promote: whether the new model may be put in use.

    Raises:
        ValueError: the folder is no registry, the champion in it is not whole, or there is no registry to
            promote in.
    """
    if promote and not champion:
        raise ValueError("promote=True needs the folder of the champion: set `champion`")
    if champion:
        Registry(champion).champion_dir()


def champion_dataset(champion: str | Path, dataset: DatasetDescription) -> DatasetDescription | None:
    """What the champion reads of the orders, so that the first stage keeps it for the comparison.

    Args:
        champion: folder of the registry; empty = none.
        dataset: the run's description of the orders, with the dates of the run.

    Returns:
        The champion's description of the orders; None without a champion.

    Raises:
        ValueError: the folder is no registry, the champion is not whole, or the two cannot be compared on the
            same orders.
    """
    folder = Registry(champion).champion_dir() if champion else None
    if folder is None:
        return None
    described = ScoringModel.load(folder).dataset
    check_unseen(described, dataset)
    for name, what in (("layout", "orders in the layout"), ("order_id", "the order's id from the column")):
        old, new = getattr(described, name), getattr(dataset, name)
        if old != new:
            raise ValueError(
                f"the champion in {champion} reads {what} {old!r}, the run description says {new!r}: the two"
                " cannot be compared on the same orders"
            )
    return described
