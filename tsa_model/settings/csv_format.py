"""How CSV files are written, and which words in a key's column stand for no key."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator, model_validator

from tsa_model.settings.base import Settings

MISSING_WORDS = ("NULL", "\\N", "NaN", "None", "NA", "N/A", "#N/A", "<NA>", "NaT", "nil", "(null)")
_TAKEN = "\"\r\n.+-_'"
"""Characters that stand inside values, numbers or line ends."""


class CsvFormat(Settings):
    """What stands between the fields of a line and before the fraction of a number."""

    delimiter: str = ","
    """One character: ",", ";", a tab or "|"."""
    decimal: Literal[".", ","] = "."
    """With "," a number is written 5,67; a point in it is then an error, not a separator of thousands."""

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str) -> str:
        if len(delimiter) != 1 or not delimiter.isascii() or delimiter.isalnum() or delimiter in _TAKEN:
            raise ValueError('a delimiter is one character such as ",", ";", "|" or "\\t" (a tab)')
        return delimiter

    @model_validator(mode="after")
    def _check_both(self) -> CsvFormat:
        if self.delimiter == self.decimal:
            raise ValueError(f"delimiter and decimal are both {self.decimal!r}: no line could be taken apart")
        return self
