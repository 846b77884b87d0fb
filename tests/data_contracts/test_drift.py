from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from data_contracts.drift import _mean_history_lengths, check_drift, population_stability
from data_contracts.events import validate_events
from data_contracts.findings import ContractViolation
from data_contracts.whole import connect
from tsa_model.settings.run import RunConfig


def with_drift(run: RunConfig, **levels: float | None) -> RunConfig:
    return RunConfig.load({"dataset": run.dataset.model_dump() | {"drift": levels}})


def result(frame: pd.DataFrame, run: RunConfig, outputs, save) -> dict:
    validate_events(save(frame), run, outputs.events, outputs.report, outputs.result)
    return json.loads(outputs.result.read_text())


def warnings(content: dict) -> list[str]:
    return [f"{f['sentence']} | {f['detail']}" for f in content["findings"] if not f["passed"]]


def test_population_stability_by_hand() -> None:
    expected, observed = np.array([50, 50, 0]), np.array([80, 20, 0])
    p, q = np.array([50.5, 50.5]) / 101, np.array([80.5, 20.5]) / 101
    psi, noise = population_stability(expected, observed)
    assert psi == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert noise == pytest.approx(1 / 100 + 1 / 100)  # the bin nobody uses does not count


def test_noise_is_the_psi_of_two_samples_of_one_distribution() -> None:
    rng = np.random.default_rng(0)
    share = np.full(10, 0.1)
    drawn = [
        population_stability(rng.multinomial(500, share), rng.multinomial(300, share)) for _ in range(300)
    ]
    assert np.mean([psi for psi, _ in drawn]) == pytest.approx(drawn[0][1], rel=0.15)


def test_steady_events_give_no_warning(events: pd.DataFrame, run: RunConfig, outputs, save) -> None:
    content = result(events, run, outputs, save)
    assert warnings(content) == []
    measured = {(entry["feature"], entry["period"]) for entry in content["drift"]}
    features = ("product", "amount", "items", "night")
    assert measured == {(f, period) for f in features for period in ("vali", "cali", "test")}


@pytest.fixture
def test_period(events: pd.DataFrame) -> pd.Series:
    return events["time"] >= events["time"].iloc[0] // 86_400 * 86_400 + 30 * 86_400


def test_a_moved_number_is_warned_of(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[test_period, "amount"] *= 100
    (warning,) = warnings(result(events, run, outputs, save))
    assert warning.startswith(
        "every feature is distributed as in training (PSI up to 0.1) | amount in test: "
    )
    with pytest.raises(ContractViolation, match=r"PSI up to 1\)\": amount in test"):
        result(events, with_drift(run, psi_stop=1), outputs, save)


def test_new_categories_stop(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[test_period, "product"] = "drone"
    with pytest.raises(ContractViolation, match=r"\(but for 50% of orders\)\": product in test: 1"):
        result(events, run, outputs, save)
    content = result(events, with_drift(run, unknown_stop=None), outputs, save)
    assert any("(but for 5% of orders) | product in test: 1" in warning for warning in warnings(content))


def test_rare_training_values_count_as_unknown(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[0, "product"] = "drone"  # once in training: below min_count
    events.loc[events.index[test_period][:10], "product"] = "drone"
    content = result(events, run, outputs, save)
    rates = {e["period"]: e["unknown_rate"] for e in content["drift"] if e["feature"] == "product"}
    assert rates == {"vali": 0.0, "cali": 0.0, "test": pytest.approx(10 / test_period.sum())}


def test_a_missing_category_is_not_an_unknown_one(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[events.index[test_period][:20], "product"] = None
    content = result(events, run, outputs, save)
    rates = [e["unknown_rate"] for e in content["drift"] if e["feature"] == "product"]
    assert rates == [0.0, 0.0, 0.0]


def test_history_lengths_are_those_of_a_loop(events: pd.DataFrame, run: RunConfig, outputs, save) -> None:
    dataset = run.dataset.model_copy(update={"seq_len": 4})
    validate_events(save(events), run, outputs.events, outputs.report, outputs.result)
    for key in ("customer", "card"):
        earlier = events.groupby(key).cumcount().reindex(events.index).fillna(0).clip(upper=3)
        days = (events["time"] - events["time"].iloc[0] // 86_400 * 86_400) // 864_000
        expected = earlier.where(events[key].notna(), 0).groupby(days).mean().tolist()
        with connect(outputs.events) as connection:
            means = _mean_history_lengths(connection, dataset, key)
        assert list(means.values()) == pytest.approx(expected)


def test_lost_histories_stop(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[test_period, "customer"] = 100_000 + events["order"]  # the key changed its form
    with pytest.raises(ContractViolation, match=r"histories have at least 0.1 times .*\": test: 0"):
        result(events, run, outputs, save)


def test_label_rate_beyond_chance_is_warned_of(
    events: pd.DataFrame, test_period: pd.Series, run: RunConfig, outputs, save
) -> None:
    events.loc[test_period, "fraud"] = (events["order"] % 2).astype("Int8")
    (warning,) = warnings(result(events, run, outputs, save))
    assert warning.startswith("the fraud rate is within a factor of 2 of the training period's | test: ")


def test_nothing_to_compare_is_no_finding(run: RunConfig) -> None:
    assert check_drift([], [], run.dataset) == []
