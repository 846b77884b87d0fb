from __future__ import annotations

import html
import io
import re

import matplotlib
import pytest

from tsa_model.pages import charts, panels

BOUND = 1e-11


def points(values: list[float | None], label: str = "block", bound: float | None = BOUND) -> str:
    labels = [f"{label}.{i}" for i in range(len(values))]
    return str(charts.points(labels, {"difference": values}, "in order", "relative difference", bound))


def tips(svg: str) -> list[str]:
    return [html.unescape(tip) for tip in re.findall(r"<title>(.*?)</title>", svg)]


def some_charts(label: str = "a") -> list[str]:
    return [
        points([1e-14, 0.0, None, 1e-9], label),
        str(charts.bars([label, "b"], {label: [1.0, 2.0], "other": [3.0, None]}, label, label)),
        str(
            charts.curves({label: charts.Curve([0.1, 1.0], [0.2, 0.4], [0.1, 0.3], [0.3, 0.5])}, label, label)
        ),
        str(charts.intervals([charts.DrawnInterval(label, -0.1, -0.2, 0.1)], label, {label: -0.15})),
        str(
            charts.ranges(
                [charts.DrawnInterval(label, 0.7, 0.6, 0.8)],
                label,
                charts.DrawnInterval("all", 0.8, 0.7, 0.9),
            )
        ),
    ]


def test_the_same_values_give_the_same_bytes_whatever_the_reader_has_set() -> None:
    first = some_charts()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.hashsalt": "other"}):
        assert some_charts() == first


def test_a_chart_is_an_element_of_the_page_and_nothing_more() -> None:
    for svg in some_charts():
        assert svg.startswith('<svg viewBox="')
        assert 'role="img" aria-label="' in svg
        assert "http" not in svg
        assert "<style" not in svg
        assert "font-family" not in svg
        assert not re.search(r"#[0-9a-f]{6}", svg), "a colour of its own would not follow light and dark"


def test_ids_differ_between_the_charts_of_a_page() -> None:
    ids = [set(re.findall(r' id="(.*?)"', svg)) for svg in (points([1e-14, 1e-9]), points([1e-13, 1e-9]))]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_nothing_in_a_label_becomes_markup_or_mathematics() -> None:
    for svg in some_charts('<script>alert("$x^2$")</script>'):
        assert "<script" not in svg
        assert "$x^2$" in svg


def test_groups_need_no_value_of_all() -> None:
    svg = str(charts.ranges([charts.DrawnInterval("run", 0.9, 0.89, 0.91)], "test AUC"))
    assert 'aria-label="test AUC: run 0.9000 [0.8900, 0.9100]."' in svg
    assert ">0.0<" not in svg


def test_whole_numbers_have_whole_ticks() -> None:
    svg = str(charts.curves({"a": charts.Curve([0, 1, 2], [0.1, 0.2, 0.3])}, "weeks", "value"))
    assert all(f">{tick}<" in svg for tick in ("0", "1", "2"))
    assert ">0.5<" not in svg


def test_every_point_says_what_it_is() -> None:
    assert sorted(tips(points([1e-14, 0.0, None, 3e-9]))) == [
        "block.0, difference: 1e-14",
        "block.1, difference: 0",
        "block.2, difference: not finite",
        "block.3, difference: 3e-09",
    ]


def test_what_is_above_the_bound_has_another_form_not_only_another_colour() -> None:
    good, bad = (set(re.findall(r'href="#(\w+)"', points([value]))) for value in (1e-14, 1e-9))
    assert len(good) == len(bad) == 1
    assert good != bad
    assert "1 above it or not finite" in points([1e-14, 1e-9])
    assert ">bound 1e-11<" in points([1e-14])


def test_hundreds_of_points_stay_small_and_the_largest_is_among_them() -> None:
    values: list[float | None] = [1e-14] * 5_000
    values[4_321] = 7e-3
    svg = points(values, "feature_attention.layer_stack_feature.0.feedforward.gate.w_gating.of.a.long.name")
    assert len(svg) < 150_000
    assert len(tips(svg)) <= charts.MAX_SHOWN
    assert any(tip.endswith("difference: 0.007") for tip in tips(svg))
    assert "the largest of 14 each" in svg


def test_many_bars_stay_small() -> None:
    labels = [f"layer_stack_feature.{i}.feedforward" for i in range(1_000)]
    svg = charts.bars(labels, {name: [0.1 * i for i in range(1_000)] for name in "abc"}, "tensors", "rows")
    assert len(svg) < 150_000


def test_labels_without_room_are_turned_and_thinned_out() -> None:
    few = str(charts.bars(["a", "b"], {"x": [1, 2]}, "", ""))
    assert "rotate(-40" not in few
    labels = [f"layer.{i}.feedforward" for i in range(60)]
    many = str(charts.bars(labels, {"x": [1.0] * 60}, "", ""))
    assert 10 <= many.count("rotate(-40") <= 20
    assert len(tips(many)) == 60


def test_no_more_series_than_can_be_told_apart() -> None:
    with pytest.raises(ValueError, match="3 series at most, not 4"):
        charts.bars(["a"], {name: [1.0] for name in "wxyz"}, "", "")


def test_a_series_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 labels, but \{'x': 1\} values"):
        charts.points(["a", "b"], {"x": [1.0]}, "", "")


@pytest.mark.parametrize("values", [[], [0.0], [None], [1e-300, 1e300]])
def test_strange_values_are_drawn(values: list[float | None]) -> None:
    assert points(values).startswith("<svg")
    assert points(values, bound=None).startswith("<svg")


def test_a_picture_is_what_matplotlib_saves_by_itself() -> None:
    def drawn():
        figure, (left, right) = panels.panels(2)
        panels.dress(left, "a title that is long", "x", "y")
        left.plot([0.0, 1.0], [1e-9, 2e-9], label="a line")
        left.legend()
        panels.dress(right, "another", "x", "a name that needs room")
        right.bar(["one", "two"], [1_000_000, 2.0])
        return figure

    itself = io.BytesIO()
    drawn().savefig(itself, format="png", metadata={"Software": None})
    assert panels.png(drawn()) == itself.getvalue()
