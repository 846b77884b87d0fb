"""Single values in the forms that most requests have, cast without an array around each.

Each function answers with what its cast gives for such a value, or with None where the value is of another
form, right or wrong: the cast decides then. `tests/events/test_plain.py` holds both against each other.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from tsa_model.events.ids import PLAIN, IdForm
from tsa_model.events.moments import EARLIEST_S, LATEST_S
from tsa_model.events.numbers import MOST_NUMBER
from tsa_model.events.units import MICROSECONDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):[0-5]\d)?", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_WHOLE = re.compile(PLAIN, re.ASCII)


def plain_moment(value: Any) -> int | None:
    """Microseconds since 1970 of ISO 8601 text, or of whole seconds; see `cast_moment`."""
    if type(value) is int:
        return value * MICROSECONDS if EARLIEST_S < value < LATEST_S else None
    if type(value) is not str or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    microseconds = (moment - _EPOCH) // _MICROSECOND
    return microseconds if EARLIEST_S * MICROSECONDS <= microseconds < LATEST_S * MICROSECONDS else None


def plain_number(value: Any) -> float | None:
    """A number that is a finite float already; see `cast_number`."""
    return value if type(value) is float and abs(value) <= MOST_NUMBER else None


def plain_id(value: Any, form: IdForm, missing_words: Collection[str]) -> int | str | None:
    """An id that is written as its column's ids are; see `cast_id`.

    Args:
        value: an id.
        form: what the whole column is.
        missing_words: words that stand for no id, in lower case and without spaces around them.
    """
    if type(value) is int:
        if not -(2**63) <= value < 2**63:
            return None
        return value if form.is_whole else str(value)
    if type(value) is not str:
        return None
    if form.is_whole:
        return int(value) if _WHOLE.fullmatch(value) and value not in missing_words else None
    if form.has_exponents or form.is_folded or not _ID.fullmatch(value) or value.lower() in missing_words:
        return None
    return value
