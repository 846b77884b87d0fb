"""Which orders of a file are scored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np

from tsa_model.scoring.events import select_rows


def test_a_moment_counts_in_the_zone_that_it_names(scored) -> None:
    times = scored.store.times_of(np.arange(len(scored.store)))
    middle = times[len(times) // 2].astype(datetime)
    expected = np.flatnonzero(times >= np.datetime64(middle))
    east = timezone(timedelta(hours=9))
    for moment in (middle, middle.replace(tzinfo=UTC), middle.replace(tzinfo=UTC).astimezone(east)):
        np.testing.assert_array_equal(select_rows(scored.store, "all", moment), expected)
    assert 0 < len(expected) < len(times)
