"""Slices of orders, their figures against scikit-learn, and the ratio between groups against fairlearn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import MetricFrame, false_positive_rate
from sklearn import metrics as sklearn_metrics
from support.plain_demo import plain_demo

from tsa_model.evaluation import Groups, Period, equal_treatment, evaluate_slices, slice_orders
from tsa_model.evaluation.groups import HISTORY_NAMES, band_names, number_edges
from tsa_model.sequences import SequenceStore
from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.run import RunConfig
from tsa_model.settings.slices import SliceColumn, Slices
from tsa_model.simulation import simulate_orders


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    run = RunConfig.load(plain_demo())
    frame = simulate_orders(run.simulation.changed(orders=3000))
    frame["age"] = np.random.default_rng(0).choice(["young", "old", None], len(frame), p=[0.6, 0.3, 0.1])
    return frame


def described(**slices) -> DatasetDescription:
    dataset = RunConfig.load(plain_demo()).dataset
    return dataset.changed(slices=Slices(**slices), amount="amount")


@pytest.fixture(scope="module")
def store(orders, tmp_path_factory) -> SequenceStore:
    return SequenceStore.build(orders, described(), tmp_path_factory.mktemp("slices") / "store")


def test_slices_are_no_part_of_what_a_store_is_made_by(store) -> None:
    other = described(columns=[{"column": "age"}])
    assert other.as_prepared() == described().as_prepared()
    assert "slices" not in store.manifest.description.as_prepared()


def test_history_lengths_and_new_keys_are_counted_as_a_loop_counts_them(orders, store) -> None:
    rows = store.targets("test")[:200]
    found = {one.name: one for one in slice_orders(store, rows, described(), orders)}
    frame = orders.set_index("order_id")
    for place, id_ in enumerate(store.ids_of(rows)):
        one = frame.loc[id_]
        earlier = frame[frame.order_time < one.order_time]
        for key, name in (("customer", "customer_id"), ("card", "card_id")):
            history, new = found[f"{key}_history"], found[f"new_{key}"]
            if pd.isna(one[name]):
                assert history.groups[history.code[place]] == new.groups[new.code[place]] == "missing"
                continue
            number = int((earlier[name] == one[name]).sum())
            low = [0, 1, 2, 4, 8, 16]
            expected = HISTORY_NAMES[int(np.searchsorted(low, number, side="right")) - 1]
            assert history.groups[history.code[place]] == expected, (id_, number)
            assert new.groups[new.code[place]] == ("new" if number == 0 else "known")


def test_weekdays_bands_and_columns_are_those_of_the_orders(orders, store) -> None:
    dataset = described(
        columns=[
            {"column": "age", "protected": True},
            {"column": "country", "top": 2},
            {"column": "items", "edges": [2, 4]},
        ]
    )
    rows = store.targets("test")
    found = {one.name: one for one in slice_orders(store, rows, dataset, orders)}
    frame = orders.set_index("order_id").loc[store.ids_of(rows)]
    names = {name: [one.groups[code] for code in one.code] for name, one in found.items()}
    assert names["weekday"] == list(pd.to_datetime(frame.order_time, unit="s").dt.day_name())
    assert names["age"] == list(frame.age.fillna("missing"))
    assert found["age"].protected
    training = orders[orders.order_time.between(*(t.timestamp() for t in dataset.split.window("train")))]
    top = list(training.country.value_counts().index[:2])
    assert names["country"] == [value if value in top else "other" for value in frame.country]
    edges = ["below 2", "2 to 4", "4 and above"]
    assert names["items"] == [edges[int(np.searchsorted([2, 4], n, side="right"))] for n in frame["items"]]
    share = np.bincount(found["amount_band"].code, minlength=5)[:5] / len(rows)
    assert share.min() > 0.1


def test_slices_of_columns_need_the_orders(orders, store) -> None:
    dataset = described(columns=[{"column": "age"}])
    with pytest.raises(ValueError, match="'age' is read from the orders, but no events were given"):
        slice_orders(store, store.targets("test"), dataset)
    with pytest.raises(ValueError, match="'age' is missing"):
        slice_orders(store, store.targets("test"), dataset, orders.drop(columns="age"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": [{"column": "age", "edges": [3, 2]}]}, "edges must rise"),
        ({"columns": [{"column": "age", "edges": [3], "bins": 2}]}, "edges or bins, not both"),
        ({"columns": [{"column": "age"}, {"column": "age"}]}, "two slices are called 'age'"),
        ({"columns": [{"column": "weekday"}]}, "two slices are called 'weekday'"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, words) -> None:
    with pytest.raises(ValueError, match=words):
        Slices(**change)


def test_slices_that_the_orders_cannot_have_are_refused() -> None:
    with pytest.raises(ValueError, match="asks for 'amount_band', but amount names no column"):
        described(built_in=["amount_band"]).changed(amount=None)
    with pytest.raises(ValueError, match="an order's id, time and label make no groups"):
        described(columns=[{"column": "label"}])
    assert "amount_band" not in Slices().chosen(has_card=True, has_amount=False)
    assert SliceColumn(column="a", name="b").title == "b"


def test_edges_are_round_and_bands_name_them() -> None:
    edges = number_edges(np.arange(1, 1001.0), 5)
    assert edges == (201, 401, 600, 800)
    assert band_names(edges)[0] == "below 201"
    assert band_names(edges)[-1] == "800 and above"
    assert number_edges(np.zeros(10), 5) == ()
    assert band_names(()) == ("all",)


@pytest.fixture(scope="module")
def scored() -> tuple[Period, Groups]:
    """3,000 scored orders in two large groups and a tiny one."""
    generator = np.random.default_rng(0)
    label = (generator.random(3000) < 0.1).astype(np.int64)
    code = np.where(np.arange(3000) < 30, 2, np.arange(3000) % 2)
    score = 1 / (1 + np.exp(-(generator.normal(size=3000) + (1 + code) * label + 0.6 * code - 2)))
    period = Period.of(score, label, probability=score, amount=generator.exponential(50, 3000))
    return period, Groups("age", ("young", "old", "tiny", "none"), code, protected=True)


def test_figures_of_a_group_are_scikit_learns_on_its_orders(scored) -> None:
    period, groups = scored
    found = evaluate_slices([groups], period, threshold=0.4, n_resamples=60)["age"]
    for group in ("young", "old"):
        chosen = groups.members(group)
        score, label, amount = (one[chosen] for one in (period.scores, period.labels, period.amounts))
        alert = score >= 0.4
        expected = {
            "auc": sklearn_metrics.roc_auc_score(label, score),
            "average_precision": sklearn_metrics.average_precision_score(label, score),
            "recall": sklearn_metrics.recall_score(label, alert),
            "precision": sklearn_metrics.precision_score(label, alert),
            "false_positive_rate": alert[label == 0].mean(),
            "alert_rate": alert.mean(),
            "amount_recall": amount[alert & (label == 1)].sum() / amount[label == 1].sum(),
        }
        for name, value in expected.items():
            one = found[group].figures[name]
            assert one.value == pytest.approx(value, abs=1e-12), (group, name)
            assert one.low < value < one.high, (group, name)
        assert found[group].figures["ece"].value > 0.05  # the scores are no probabilities
    assert found["old"].figures["auc"].low > found["young"].figures["auc"].high
    assert set(found["old"].plain()["auc"]) == {"value", "low", "high"}


def test_a_small_group_is_named_and_not_measured(scored) -> None:
    period, groups = scored
    found = evaluate_slices([groups], period, threshold=0.4, n_resamples=50)["age"]
    assert found["tiny"].too_small.endswith("frauds, fewer than 20")
    assert found["tiny"].figures == {}
    assert found["none"].too_small == "no orders"
    assert found["tiny"].plain() == {
        "orders": 30,
        "frauds": found["tiny"].frauds,
        "too_small": found["tiny"].too_small,
    }


@pytest.mark.parametrize("way", ["one_threshold", "equal_alert_rate"])
def test_the_ratio_between_groups_is_fairlearns(scored, way) -> None:
    period, groups = scored
    found = equal_treatment(groups, period, 0.4, n_resamples=60)
    ratio = getattr(found, way)
    large = groups.code < 2
    name = np.array(groups.groups)[groups.code]
    alert = period.scores >= np.array([ratio.thresholds.get(group, np.inf) for group in name])
    oracle = MetricFrame(
        metrics=false_positive_rate,
        y_true=period.labels[large],
        y_pred=alert[large],
        sensitive_features=name[large],
    )
    assert ratio.ratio == pytest.approx(oracle.ratio(method="between_groups"), abs=1e-12)
    assert ratio.false_positive_rates == pytest.approx(dict(oracle.by_group), abs=1e-12)
    assert ratio.low <= ratio.ratio <= ratio.high
    assert found.too_small == ("tiny",)
    if way == "equal_alert_rate":
        rates = [alert[groups.members(group)].mean() for group in ("young", "old")]
        assert rates == pytest.approx([found.alert_rate] * 2, abs=1 / 1000)


def test_weights_count_orders_as_often_as_they_say() -> None:
    generator = np.random.default_rng(1)
    label = (generator.random(600) < 0.3).astype(np.int64)
    score = generator.normal(size=600) + label
    weight = generator.integers(1, 4, 600)
    groups = Groups("all", ("all",), np.zeros(600, np.int64))
    heavy = Period.of(score, label, weight=weight, amount=np.ones(600))
    often = Period.of(*(np.repeat(one, weight) for one in (score, label)), amount=np.ones(weight.sum()))
    a, b = (evaluate_slices([g], p, 0.5, n_resamples=50)["all"]["all"].figures for g, p in (
        (groups, heavy),
        (Groups("all", ("all",), np.zeros(weight.sum(), np.int64)), often),
    ))  # fmt: skip
    for name, one in a.items():
        assert one.value == pytest.approx(b[name].value, abs=1e-12), name
