"""A challenger that is worse for some group of orders."""

from __future__ import annotations

import numpy as np
import pytest

from tsa_model.evaluation import Groups
from tsa_model.promotion import Comparison, PromotionConfig
from tsa_model.promotion.comparison import ModelIdentity
from tsa_model.promotion.page import render_comparison
from tsa_model.promotion.slices import judge_slices, slice_checks

CONFIG = PromotionConfig(resamples=200)
IDENTITY = ModelIdentity(digest="d", onnx_sha256="o", weights_sha256="w", verdict_id="v")


class Period:
    """9,000 orders, 20 % of them fraud: six groups, a tiny one and an empty one; two similar models."""

    def __init__(self, loss: float, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self.label = (generator.random(9000) < 0.2).astype(np.int64)
        code = generator.choice(8, 9000, p=[0.15, 0.2, 0.2, 0.2, 0.15, 0.098, 0.002, 0])
        self.groups = Groups("country", ("DE", "FR", "GB", "ES", "IT", "PL", "SE", "NL"), code)
        common = generator.normal(size=9000) + 1.8 * self.label
        self.new = common + 0.3 * generator.normal(size=9000) - loss * self.label * (code == 0)
        self.old = common + 0.3 * generator.normal(size=9000)

    def judge(self, **changes):
        return judge_slices(
            self.label, self.new, self.old, [self.groups], CONFIG.changed(**changes), fewest=20
        )


def test_a_loss_in_one_group_is_refused_and_named() -> None:
    found = Period(loss=0.5).judge()
    assert [one.title for one in found if not one.passed] == ["country DE"]
    checks = {check.name: check for check in slice_checks(found)}
    assert not checks["slices"].passed
    assert "worse: country DE" in checks["slices"].reason
    assert "was lost, not by chance" in checks["country DE: average_precision"].reason
    comparison = Comparison(challenger=IDENTITY, champion=IDENTITY, slices=found, checks=())
    assert not comparison.changed(checks=[{"name": "gate", "passed": True, "reason": ""}]).passed


def test_an_equal_challenger_holds_every_group() -> None:
    assert all(one.passed for one in Period(loss=0.0).judge())
    same = Period(loss=0.0)
    same.new = same.old
    assert all(part.high == 0 for one in same.judge() for part in one.figures.values())


def test_a_small_or_empty_group_decides_nothing_and_is_said() -> None:
    period = Period(loss=0.0)
    period.new = np.where(period.groups.members("SE"), -period.label, period.old)  # as bad as can be
    found = {one.group: one for one in period.judge()}
    assert "fewer than 20" in found["SE"].too_small
    assert found["NL"].too_small == "no orders"
    assert found["SE"].passed
    (check,) = slice_checks(list(found.values()))
    assert check.passed
    assert "too small to judge, which decides nothing: country SE" in check.reason
    assert "country NL (no orders)" in check.reason


@pytest.mark.parametrize(
    ("margins", "passed"),
    [
        ([{"slice": "country", "average_precision_margin": 1, "auc_margin": 1}], True),
        ([{"slice": "country", "group": "DE", "average_precision_margin": 1, "auc_margin": 1}], True),
        ([{"slice": "country", "group": "FR", "average_precision_margin": 1, "auc_margin": 1}], False),
        ([{"slice": "weekday", "average_precision_margin": 1, "auc_margin": 1}], False),
    ],
)
def test_a_margin_of_its_own_lets_a_group_lose_more(margins, passed) -> None:
    found = Period(loss=0.5).judge(slice_margins=margins)
    assert all(one.passed for one in found) == passed


def test_more_groups_make_wider_intervals() -> None:
    period = Period(loss=0.0)
    alone = judge_slices(
        period.label, period.new, period.old,
        [Groups("country", ("DE", "FR"), np.where(period.groups.code == 0, 0, 1))], CONFIG, 20,
    )[0].figures["auc"]  # fmt: skip
    many = period.judge()[0].figures["auc"]
    assert many.difference == alone.difference
    assert many.high - many.low > 1.05 * (alone.high - alone.low)


def test_the_page_shows_every_group() -> None:
    found = Period(loss=0.5).judge()
    comparison = Comparison(
        challenger=IDENTITY, champion=IDENTITY, slices=found, checks=tuple(slice_checks(found))
    )
    page = render_comparison(comparison, "not promoted", "worse")
    assert page.count("too small: ") == 2
    assert "worse</span>" in page
    for one in found:
        assert f"<td>{one.group}</td>" in page
