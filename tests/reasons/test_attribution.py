"""Reasons on built cases whose right answer is known."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from support.built_games import LENGTH, built_case, built_row, built_rules

from tsa_model.batch import ENGINEERED
from tsa_model.reasons import Attribution, Case, Effort, attribute
from tsa_model.reasons.attribution import BRIEF, ranked_sides
from tsa_model.reasons.shapley import joined

Rows = dict[str, np.ndarray]


def everything(x: Rows) -> np.ndarray:
    """A formula in which every input matters, with products across features, orders and sides."""
    total = np.zeros(len(x[ENGINEERED]))
    for key, weight in (("cid", 1.0), ("ccid", -1.7)):
        real = ~x[f"key_padding_mask_{key}"].astype(bool)[:, :-1]
        num, cat = x[f"x_seq_num_{key}"], x[f"x_seq_cat_{key}"]
        seen = np.tanh(
            num[..., 0] * 2 + num[..., 1] ** 2 + 0.3 * cat[..., 0] + 1e-5 * x[f"time_seq_{key}"][..., 0]
        )
        total += weight * (seen * real).sum(axis=1) ** 2 / 7
    now = x["x_seq_num_cid"][:, -1]
    return total * (1 + now[:, 0]) + x[ENGINEERED][:, 1] * now[:, 1] + 0.2 * x["x_seq_cat_cid"][:, -1, 1]


def checked(result: Attribution) -> Attribution:
    whole = sum(side.value for side in result.sides)
    assert whole == pytest.approx(result.logit - result.background_logit, abs=1e-9)
    for side in result.sides:
        assert sum(each.value for each in side.parts) == pytest.approx(side.value, abs=1e-9)
    return result


@pytest.mark.parametrize(("customer", "card"), [(0, 0), (3, 2), (19, 0), (14, 19)])
def test_parts_add_up_to_sides_and_sides_to_the_score(customer: int, card: int) -> None:
    rules = built_rules(everything)
    result = checked(attribute(Case(rules, built_row(customer, card))))
    assert [side.side for side in result.sides] == ["order", "customer", "card"]
    assert result.scored_rows <= 4_000
    assert result.sides[1].is_exact == (customer <= 10)


def test_values_are_those_of_a_loop_over_all_orders_of_the_players() -> None:
    case = built_case(everything, customer=2, card=1)
    result = checked(attribute(case, Effort(draws=3, side_draws=3)))

    def worth(present: set[int]) -> float:
        row = np.array([[place in present for place in range(len(case.parts))]] * 3)
        return float(case.logits(row, np.arange(3)).mean())

    def shapley(players: list[set[int]], others: set[int]) -> np.ndarray:
        gains = np.zeros(len(players))
        orders = list(permutations(range(len(players))))
        for order in orders:
            there = set(others)
            for player in order:
                before, there = worth(there), there | players[player]
                gains[player] += worth(there) - before
        return gains / len(orders)

    members = {side: {int(k) for k in case.members(side)} for side in case.sides}
    sides = shapley(list(members.values()), set())
    np.testing.assert_allclose([side.value for side in result.sides], sides, atol=1e-9)
    for k, side in enumerate(result.sides):
        places = sorted(members[side.side])
        inner = shapley([{place} for place in places], set(range(len(case.parts))) - set(places))
        np.testing.assert_allclose([each.value for each in side.parts], joined(inner, sides[k]), atol=1e-9)


def test_sides_are_ranked_as_they_are_explained_whatever_the_effort() -> None:
    case = built_case(everything, customer=4, card=3)
    thorough, brief = attribute(case), attribute(case, BRIEF)
    assert [side.value for side in thorough.sides] == [side.value for side in brief.sides]
    before = case.scored_rows
    ranked = ranked_sides(case)
    assert list(ranked) == [each.side for each in sorted(thorough.sides, key=lambda each: -each.value)]
    assert case.scored_rows - before <= 4 + 4 * 5  # mixtures with the order itself need no background


def test_background_is_an_order_without_histories() -> None:
    rules = built_rules(everything)
    result = attribute(Case(rules, built_row(4, 4)))
    alone = built_row(0, 0)
    worths = []
    for k in range(5):
        row = {name: value.copy() for name, value in alone.items()}
        for key in ("cid", "ccid"):
            row[f"x_seq_cat_{key}"][:, -1] = rules.described.categories()[k]
            row[f"x_seq_num_{key}"][:, -1] = rules.described.numbers()[k, :2]
        row[ENGINEERED][:] = rules.described.numbers()[k, 2], 0.0  # no orders with the card
        worths.append(everything(row)[0])
    assert result.background_logit == pytest.approx(np.mean(worths), abs=1e-6)


def test_a_feature_without_effect_and_padding_get_nothing() -> None:
    result = attribute(built_case(lambda x: 3 * x["x_seq_num_cid"][:, -1, 0]))
    for each in result.parts:
        assert (each.value == pytest.approx(0, abs=1e-12)) == (each.part.feature != "amount"), each
    assert attribute(built_case(everything, customer=0)).sides[1].value == 0


def test_two_orders_of_the_same_effect_get_the_same() -> None:
    def latest_two(x: Rows) -> np.ndarray:
        """Only whether each of the two orders 18 and 17 of the card's history is there."""
        there = x["x_seq_num_ccid"][:, :, 1] == 7.0
        return np.sqrt(there.sum(axis=1)) + x["x_seq_num_cid"][:, -1, 0]

    row = built_row(3, 4)
    row["x_seq_num_ccid"][:, LENGTH - 3 : LENGTH - 1, 1] = 7.0
    result = checked(attribute(Case(built_rules(latest_two), row)))
    by_back = {
        each.part.back: each.value for each in result.parts if each.part.side == "card" and each.part.back
    }
    assert by_back[1,] == pytest.approx(by_back[2,], abs=1e-12)
    assert by_back[1,] == pytest.approx(np.sqrt(2) / 2, abs=1e-6)
    assert by_back[3,] == by_back[4,] == 0


def test_absent_orders_are_padding() -> None:
    case = built_case(everything, customer=4, card=2)
    present = np.ones((1, len(case.parts)), dtype=bool)
    gone = [k for k, part in enumerate(case.parts) if part.side == "customer" and part.back in ((2,), (3,))]
    present[0, gone] = False
    rows = case.rows(present, np.zeros(1, np.int64))
    kept = [0, *range(1, LENGTH)]
    del kept[LENGTH - 1 - 3], kept[LENGTH - 1 - 3]
    for name in ("x_seq_cat_cid", "x_seq_num_cid", "time_seq_cid"):
        assert (rows[name][0, 2:] == case.row[name][0, kept]).all(), name
        assert not rows[name][0, : LENGTH - 3].any(), name
        assert rows[name].dtype == case.row[name].dtype
    assert rows["key_padding_mask_cid"][0].tolist() == [True] * (LENGTH - 3) + [False] * 4
    assert (rows["x_seq_num_ccid"] == case.row["x_seq_num_ccid"]).all()


def test_older_orders_beyond_a_dozen_are_one_part() -> None:
    case = built_case(everything, customer=19, card=13)
    backs = {
        side: [part.back for part in case.parts if part.side == side and part.back] for side in case.sides
    }
    assert backs["customer"] == [(back,) for back in range(1, 13)] + [tuple(range(13, 20))]
    assert backs["card"] == [(back,) for back in range(1, 14)]
    assert backs["order"] == []


def test_a_column_that_follows_the_orders_is_no_part_and_one_of_two_roles_is_one() -> None:
    features = {part.feature: part for part in built_case(everything).parts if part.feature}
    assert {name: part.side for name, part in features.items()} == {
        "device": "order",
        "country": "order",
        "amount": "order",
        "items": "order",
    }
    assert features["amount"].numbers == (0, 2)


def test_groups_are_one_part() -> None:
    groups = {"basket": ("amount", "items", "country")}
    parts = [part for part in built_case(everything, groups=groups).parts if part.feature == "basket"]
    assert [(part.categorical, part.numbers) for part in parts] == [((1,), (0, 1, 2))]


@pytest.mark.parametrize(
    ("columns", "words"), [(("amount", "price"), "price"), (("amount", "card_count_1d"), "follow the orders")]
)
def test_groups_that_do_not_fit_are_refused(columns: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        built_case(everything, groups={"basket": columns})


def test_sampled_levels_say_how_uncertain_they_are_and_repeat() -> None:
    case, again = (built_case(everything, customer=15, card=0) for _ in range(2))
    result = attribute(case)
    assert result == attribute(again)
    errors = {side.side: max((each.error for each in side.parts), default=0) for side in result.sides}
    assert errors["order"] == 0 < errors["customer"]
    more = attribute(built_case(everything, customer=15, card=0), Effort(pairs=160))
    for each, better in zip(result.sides[1].parts, more.sides[1].parts, strict=True):
        assert abs(each.value - better.value) < 5 * (each.error + better.error) + 1e-9
