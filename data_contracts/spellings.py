"""Ids that are written in several ways and read as one: said, for such a file often hides more."""

from __future__ import annotations

from collections.abc import Mapping

from data_contracts.findings import Finding
from tsa_model.events.ids import IdForm


def check_spellings(forms: Mapping[str, IdForm]) -> list[Finding]:
    """Look for columns of whole numbers that are written in more than one way.

    Args:
        forms: how each column of ids is read.
    """
    return [
        Finding(
            f"every {column} is written in one way",
            column,
            severity="warn",
            detail=(
                f"whole numbers are written as {' and as '.join(map(repr, form.spellings))}; each is read by "
                "its value, so that both ways give one id"
                if form.spellings
                else ""
            ),
        )
        for column, form in forms.items()
    ]
