"""Moments: timestamps, dates, epoch seconds, and text of these → microseconds since 1970-01-01 UTC."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from tsa_model.events.arrays import flags, is_text
from tsa_model.events.cast import Cast, by_distinct, by_words, is_missing_text, lost, nothing, stripped
from tsa_model.events.units import MICROSECONDS

EARLIEST_S = 946_684_800
"""2000-01-01 UTC."""
LATEST_S = 4_102_444_800
"""2100-01-01 UTC; milliseconds taken for seconds lie far beyond."""

_PLAIN_SECONDS = r"^[0-9]{1,12}(\.[0-9]{0,9})?$"
_SECONDS = re.compile(r"[+-]?(\d{1,18})(?:\.(\d*))?(?:[eE]\+?(\d{1,3}))?", re.ASCII)
_ZONE = re.compile(r"\s*(UTC|GMT)$", re.IGNORECASE)


def cast_moment(raw: pa.ChunkedArray | pa.Array) -> Cast:
    """Cast a timestamp, a date, epoch seconds, or text of these to int64 microseconds since 1970 UTC."""
    return by_words(raw, _cast_moment)


def _cast_moment(raw: pa.Array) -> Cast:
    asked = "a moment between 2000 and 2100 (a UTC timestamp, a date or epoch seconds)"
    if pa.types.is_timestamp(raw.type) or pa.types.is_date(raw.type):
        zone = raw.type.tz if pa.types.is_timestamp(raw.type) else None
        # Finer parts of a microsecond are dropped.
        microseconds = raw.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64())
    elif is_text(raw.type):
        raw = stripped(raw)
        microseconds = _text_to_microseconds(raw)
    elif pa.types.is_integer(raw.type):
        in_range = flags(pc.and_(pc.greater(raw, EARLIEST_S), pc.less(raw, LATEST_S)))
        microseconds = pc.multiply(pc.if_else(pa.array(in_range), raw, None).cast(pa.int64()), MICROSECONDS)
    elif pa.types.is_floating(raw.type) or pa.types.is_decimal(raw.type):
        microseconds = _seconds_to_microseconds(raw.cast(pa.float64(), safe=False))
    else:
        return nothing(raw, pa.int64(), asked)
    low, high = EARLIEST_S * MICROSECONDS, LATEST_S * MICROSECONDS
    in_range = flags(pc.and_(pc.greater_equal(microseconds, low), pc.less(microseconds, high)))
    values = pc.if_else(pa.array(in_range), microseconds, None)
    return Cast(values, lost(raw, values) & ~is_missing_text(raw), asked)


def _seconds_to_microseconds(seconds: pa.Array) -> pa.Array:
    usable = flags(pc.and_(pc.greater_equal(seconds, float(EARLIEST_S)), pc.less(seconds, float(LATEST_S))))
    known = pc.if_else(pa.array(usable), seconds, None)
    return pc.round(pc.multiply(known, float(MICROSECONDS))).cast(pa.int64())


def _text_to_microseconds(raw: pa.Array) -> pa.Array:
    if pc.all(pc.match_substring_regex(raw, _PLAIN_SECONDS), min_count=0).as_py():
        return _seconds_to_microseconds(raw.cast(pa.float64()))
    for zone in (None, "UTC"):  # the usual spellings, without a loop
        try:
            return raw.cast(pa.timestamp("us", zone)).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
    return by_distinct(raw, pa.int64(), _parse_moment)


def _parse_moment(text: str) -> int | None:
    if found := _SECONDS.fullmatch(text):
        # 1.73569E+09 of a spreadsheet has lost its last digits.
        if found[3] is not None and len(found[2] or "") < int(found[3]):
            return None
        seconds = float(text)
        return round(seconds * MICROSECONDS) if abs(seconds) < LATEST_S else None
    try:
        moment = datetime.fromisoformat(_ZONE.sub("+00:00", text))
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return math.floor(moment.timestamp()) * MICROSECONDS + moment.microsecond
