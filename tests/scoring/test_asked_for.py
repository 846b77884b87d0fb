"""The report of a run that an alarm started links the alarm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tsa_model.scoring.report import render_report
from tsa_model.scoring.stage import _asked_for
from tsa_model.settings.monitoring import AskedFor

GIVEN = {
    "alarm": "a" * 64,
    "signals": ("loss of recall", "<b>"),
    "since": datetime(2025, 5, 1, tzinfo=UTC),
    "document_sha256": "b" * 64,
    "page": "https://pages.example/monitoring.html",
}


def test_the_report_links_the_alarms_page() -> None:
    facts = _asked_for(AskedFor(**GIVEN))
    metrics = {"orders": {"test": 10}, "frauds": {"test": 0}, "thresholds": {}, "calibration": "none"}
    page = render_report("shop", metrics, [], facts)
    assert '<a href="https://pages.example/monitoring.html">' in page
    assert "loss of recall, &lt;b&gt;, since 2025-05-01; alarm aaaaaaaaaaaa" in page
    assert "b" * 64 in page
    assert _asked_for(None) == {}


def test_a_page_that_is_no_address_is_refused() -> None:
    with pytest.raises(ValueError, match="page"):
        AskedFor(**{**GIVEN, "page": "javascript:alert(1)"})
