"""The page and the text for Prometheus of what was found, without any model."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.monitored import faulty, judged, production
from support.pages import table_lines

from tsa_model.monitoring.documents import Monitoring
from tsa_model.monitoring.page import render_monitoring, short_amount
from tsa_model.monitoring.prometheus import prometheus_text

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def found() -> Monitoring:
    return judged(faulty())


def test_the_level_and_its_reason_come_first_and_the_newest_week_and_day(found: Monitoring) -> None:
    page = render_monitoring(found)
    assert found.level == "act"
    assert (
        page.index("something must be done</h1>")
        < page.index("times the reference")
        < page.index("Weeks, newest")
    )
    weeks = re.findall(r"<b>(\d{4}-\d\d-\d\d)</b>", page)
    days = re.findall(r'<td class="name">\w{3} (\d{4}-\d\d-\d\d)</td>', page)
    assert weeks == sorted(weeks, reverse=True)
    assert days == sorted(days, reverse=True)
    assert days[0] == f"{found.days[-1].start:%Y-%m-%d}"
    assert (len(weeks), len(days)) == (len(found.weeks), len(found.days))
    assert page.count("<svg") == 2
    assert f"{found.alarms[0].since:%Y-%m-%d}" in table_lines(page)


def test_realised_and_estimated_figures_are_told_apart(found: Monitoring) -> None:
    lines = table_lines(render_monitoring(found))
    labelled = next(week for week in found.weeks if week.is_labelled)
    value, low, high = (
        getattr(labelled.realised["average_precision"], name) for name in ("value", "low", "high")
    )
    assert f"| {value:.3f} {low:.3f} to {high:.3f} |" in lines
    newest = found.weeks[-1].estimated["average_precision"]
    assert f"| ≈ {newest.value:.3f} {newest.low:.3f} to {newest.high:.3f} |" in lines


def test_quiet_days_say_so() -> None:
    found = judged(production(20))
    page = render_monitoring(found)
    assert "everything looks as it should" in page
    assert "Nothing on the newest day calls for a look" in page
    assert not found.alarms


def test_words_from_data_are_escaped_and_nothing_is_fetched(found: Monitoring) -> None:
    changed = found.changed(dataset=EVIL, notes=(EVIL,), sources={EVIL: "c" * 64})
    page = render_monitoring(changed)
    assert "<script" not in page
    assert not re.search(r"(src|href)=.?https?:", page)


def test_prometheus_reads_the_text(found: Monitoring) -> None:
    families = {one.name: one for one in text_string_to_metric_families(prometheus_text(found))}
    assert [sample.value for sample in families["tsa_monitor_level"].samples] == [2.0]
    signals = {
        sample.labels["signal"]: sample.value for sample in families["tsa_monitor_signal_level"].samples
    }
    assert signals["expected fraud"] == 2.0
    kinds = {sample.labels["kind"] for sample in families["tsa_monitor_figure"].samples}
    assert kinds == {"realised", "estimated"}


@pytest.mark.parametrize(
    ("amount", "words"),
    [(7841.2, "7,841"), (9999.7, "10.0 k"), (999_949, "999.9 k"), (999_951, "1.00 M"), (1_692_793, "1.69 M")],
)
def test_amounts_are_short_enough_for_a_column(amount: float, words: str) -> None:
    assert short_amount(amount) == words
