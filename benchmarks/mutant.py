"""What a mutant is: one fault, as a change of source text."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

ORDERS = "network/fast/order_attention.py"
FEATURES = "network/fast/feature_attention.py"
CLASSIFIERS = "network/fast/classifiers.py"
ATTENTION = "network/fast/attention.py"
FOLDED = "network/fast/folded.py"
DROPOUT = "network/fast/dropout.py"
LAYERS = "network/fast/layers.py"
TREES = "network/fast/trees.py"
EXPERTS = "network/fast/experts.py"
FEW_TOKENS = "network/fast/few_tokens.py"
PRODUCTS = "network/fast/products.py"
PREPARED = "network/fast/prepared.py"
AGGREGATION = "network/fast/aggregation.py"
AUTOCAST = "network/fast/autocast.py"
PIECES = "network/fast/pieces.py"
STATIC_ATTENTION = "network/static/attention.py"
STATIC_EXPERTS = "network/static/experts.py"
STATIC_FORM = "network/static/form.py"
STATIC_LAYERS = "network/static/layers.py"
BLOCKS = "network/blocks.py"
PARAMETERS = "network/parameters.py"
NETWORKS = "network/networks.py"
FUNCTIONAL = "losses/functional.py"
LOSSES = "losses/modules.py"
OBJECTIVE = "training/objective.py"
SCHEDULES = "training/schedules.py"


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: what is wrong.
        file: below tsa_model.
        changes: (old, new) texts; every occurrence of old is replaced, and there must be one.
        subject: the small network it is tried on.
    """

    name: str
    file: str
    changes: list[tuple[str, str]] = field(default_factory=list)
    subject: str = "dual"

    def apply(self, package: Path) -> None:
        """Change the copy of the package.

        Raises:
            ValueError: the text to change is not there: the catalogue is older than the code.
        """
        path = package / self.file
        text = path.read_text(encoding="utf-8")
        for old, new in self.changes:
            if old not in text:
                raise ValueError(f"mutant {self.name!r}: {self.file} does not contain {old!r}")
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")


def mutant(name: str, file: str, old: str, new: str, subject: str = "dual") -> Mutant:
    """A mutant of one change."""
    return Mutant(name, file, [(old, new)], subject)
