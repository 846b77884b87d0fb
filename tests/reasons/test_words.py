"""Reasons in words: one sentence for each role and statistic."""

from __future__ import annotations

import numpy as np
import pytest
from support.built_games import LENGTH, built_dataset, built_row, built_rules

from tsa_model.batch import ENGINEERED
from tsa_model.reasons import Case, ReasonsConfig, Rules
from tsa_model.reasons.explanation import OrderFacts, as_text, explain
from tsa_model.reasons.values import duration, shown_number
from tsa_model.reasons.words import Words
from tsa_model.sequences.features.preprocessing import Scaler
from tsa_model.settings.dataset import DatasetDescription


def flat(x: dict[str, np.ndarray]) -> np.ndarray:
    return np.zeros(len(x[ENGINEERED]))


def row_of(amount: float, earlier_amounts: list[float], device: int = 2, earlier_device: int = 2) -> dict:
    row = built_row(len(earlier_amounts), 3)
    for key in ("cid", "ccid"):
        row[f"x_seq_num_{key}"][:, -1, 0] = amount * 0.001
        row[f"x_seq_cat_{key}"][:, -1, 0] = device
    for back, earlier in enumerate(earlier_amounts, 1):
        row["x_seq_num_cid"][0, LENGTH - 1 - back, 0] = earlier * 0.001
        row["x_seq_cat_cid"][0, LENGTH - 1 - back, 0] = earlier_device
    for back, ago_s in enumerate((300.0, 900.0, 86_400.0), 1):
        row["time_seq_ccid"][0, LENGTH - 1 - back, 0] = ago_s
        row["x_seq_num_ccid"][0, LENGTH - 1 - back, 0] = 0.0042
        row["x_seq_cat_ccid"][0, LENGTH - 1 - back] = row["x_seq_cat_ccid"][0, -1]
    row[ENGINEERED][0] = [amount * 0.001, 0.3]
    return row


def words_of(row: dict, **settings: object) -> Words:
    return Words(Case(built_rules(flat, **settings), row))


def said(words: Words, feature: str) -> str:
    parts = words.case.parts
    return words.of(next(part for part in parts if part.feature == feature))


@pytest.mark.parametrize(
    ("amount", "earlier", "sentence"),
    [
        (812.4, [58.0, 60.0, 55.0], "amount 812.40, 14 times this customer's usual"),
        (90.0, [58.0, 60.0, 55.0], "amount 90.00, 1.6 times this customer's usual"),
        (60.0, [58.0, 60.0, 55.0], "amount 60.00, about this customer's usual 58.00"),
        (10.0, [58.0, 60.0, 55.0], "amount 10.00, this customer's usual is 58.00"),
        (10.0, [0.0], "amount 10.00, this customer's usual is 0.00"),
    ],
)
def test_a_number_is_held_against_the_customers_usual(
    amount: float, earlier: list[float], sentence: str
) -> None:
    assert said(words_of(row_of(amount, earlier)), "amount") == sentence


def test_without_a_history_a_number_is_held_against_genuine_orders() -> None:
    words = words_of(row_of(812.4, []))
    typical = float(np.median(words.case.rules.described.numbers()[:, 0])) * 1000
    assert said(words, "amount") == f"amount 812.40; genuine orders mostly {typical:.2f}"


def test_a_category_is_held_against_the_customers_orders() -> None:
    assert (
        said(words_of(row_of(1, [1.0, 1.0], 3, 2)), "device")
        == "first order with device tablet from this customer"
    )
    usual = "device phone, as in 2 of this customer's last 2 orders"
    assert said(words_of(row_of(1, [1.0, 1.0])), "device") == usual
    assert said(words_of(row_of(1, [])), "device") == "device phone"
    assert said(words_of(row_of(1, [1.0], 1)), "device") == "device that training orders hardly had"


def test_windows_and_orders_are_told_with_whose_they_are() -> None:
    words = words_of(row_of(60.0, [58.0]))
    assert words.of_column("card_count_1d") == "3 earlier orders with this card in the last 24 hours"
    assert words.burst("card", 2) == "2 orders with this card in the last 20 minutes"
    assert words.burst("card", 3) == "3 orders with this card in the last 24 hours"
    card = [words.of(part) for part in words.case.parts if part.side == "card" and part.back]
    assert card[0] == "the order 5 minutes before, with this card (amount 4.20)"
    lonely = words_of(row_of(60.0, []))
    assert lonely.burst("customer", 0) == "no earlier order by this customer"


def test_older_orders_are_told_together() -> None:
    words = Words(Case(built_rules(flat), built_row(19, 0)))
    (older,) = (words.of(part) for part in words.case.parts if len(part.back) > 1)
    assert older.startswith("7 older orders by this customer, up to ")


LAGGED = [
    ({"statistic": "gap", "log": True}, np.log1p(7200.0), "2 hours since the last order with this card"),
    ({"statistic": "gap"}, 1e7, "no earlier order with this card"),
    ({"statistic": "same", "column": "device"}, 0.0, "another device than the order before, with this card"),
    ({"statistic": "same", "column": "device"}, 1.0, "same device as the order before, with this card"),
    (
        {"statistic": "ratio", "column": "amount"},
        3.0,
        "amount 3 times that of the order before, with this card",
    ),
    ({"statistic": "position", "log": True}, np.log1p(4.0), "4 earlier orders with this card"),
]


@pytest.mark.parametrize(("lag", "value", "sentence"), LAGGED)
def test_lags_are_told(lag: dict, value: float, sentence: str) -> None:
    name = "lagged" if lag["statistic"] == "position" else "lagged_1"
    content = built_dataset().model_dump(mode="json")
    content |= {"lags": [{"name": "lagged", "key": "card", **lag}], "engineered": ["amount", name]}
    rules = built_rules(flat)
    fitted = rules.fitted.changed(
        engineered={"amount": Scaler(scale=0.001, min=0), name: Scaler(scale=1, min=0)}
    )
    changed = Rules(rules.session, DatasetDescription.model_validate(content), fitted, rules.described)
    row = row_of(60.0, [58.0])
    row[ENGINEERED][0, 1] = value
    assert Words(Case(changed, row)).of_column(name) == sentence


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (61.5, "mean amount 61.50 of the known frauds with this card"),
        (1e-5, "no known fraud with this card of late"),
    ],
)
def test_known_frauds_are_told_by_their_mean(value: float, sentence: str) -> None:
    content = built_dataset().model_dump(mode="json")
    window = {"name": "stolen", "key": "card", "statistic": "fraud_mean", "column": "amount", "days": [7]}
    content |= {"windows": [window], "engineered": ["amount", "stolen_7d"]}
    rules = built_rules(flat)
    scaler = Scaler(scale=0.001, min=0)
    fitted = rules.fitted.changed(engineered={"amount": scaler, "stolen_7d": scaler})
    changed = Rules(rules.session, DatasetDescription.model_validate(content), fitted, rules.described)
    row = row_of(60.0, [58.0])
    row[ENGINEERED][0, 1] = value * 0.001
    assert Words(Case(changed, row)).of_column("stolen_7d") == sentence


def test_words_can_be_replaced_but_not_by_what_cannot_be_filled_in() -> None:
    row = row_of(812.4, [58.0])
    assert said(words_of(row, names={"amount": "basket"}), "amount").startswith("basket 812.40")
    assert said(words_of(row, words={"amount": "worth {value} EUR"}), "amount") == "worth 812.40 EUR"
    other = words_of(row, words={"number_more": "{times} x {name}", "card": "at this terminal"})
    assert said(other, "amount") == "14 x amount"
    assert "at this terminal" in other.of_column("card_count_1d")
    with pytest.raises(ValueError, match=r"words\.number_more has \['price'\]"):
        ReasonsConfig(words={"number_more": "{price}"})
    with pytest.raises(ValueError, match="no template"):
        ReasonsConfig(words={"amount": "{value"})


def test_reasons_are_ranked_and_few_and_one_speaks_against() -> None:
    def formula(x: dict[str, np.ndarray]) -> np.ndarray:
        now, real = x["x_seq_num_cid"][:, -1], ~x["key_padding_mask_ccid"].astype(bool)[:, :-1]
        return 4 * now[:, 0] - 2 * now[:, 1] + 3 * real.sum(axis=1) + 0.001 * x[ENGINEERED][:, 1]

    row = row_of(5000.0, [58.0])
    for key in ("cid", "ccid"):
        row[f"x_seq_num_{key}"][:, -1, 1] = 3.0
    facts = OrderFacts(77, {"card": [5, 4, 3]})
    explained = explain(built_rules(formula), row, facts)
    found = explained.explanation
    assert [reason.level for reason in found.reasons[:3]] == ["a"] * 3
    whole = sum(reason.contribution for reason in found.sides())
    assert whole == pytest.approx(found.logit - found.background_logit, abs=1e-5)
    raising = found.raising()
    assert [reason.contribution for reason in raising] == sorted(
        (r.contribution for r in raising), reverse=True
    )
    assert raising[0].feature == "amount"
    assert {reason.order_id for reason in raising if reason.feature is None} == {3, 4, 5}
    assert "country" not in {reason.feature for reason in found.reasons}, "below the least share"
    assert [reason.feature for reason in found.against()] == ["items"]
    card = next(reason for reason in found.sides() if reason.side == "card")
    assert card.words == "3 orders with this card in the last 24 hours"
    text = as_text(explained)
    assert "order 77: score" in text
    assert "the card's history: 3 orders with this card in the last 24 hours" in text
    assert (
        text.index("raises the score") < text.rindex("amount 5,000.00") < text.index("speaks against fraud")
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 seconds"), (60, "60 seconds"), (1200, "20 minutes"), (86_400, "24 hours"), (2e5, "2 days")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"), [(3.0, "3"), (12400, "12,400"), (0.0521, "0.052"), (3.14159, "3.14"), (-1.5, "-1.50")]
)
def test_numbers(value: float, words: str) -> None:
    assert shown_number(value) == words
