"""Arguments against a pipeline's inputs."""

from __future__ import annotations

from inspect import Parameter

import pytest

from launcher.kubeflow.arguments import checked_arguments, parse_assignments

KINDS = {"text": str, "count": int, "rate": float, "flag": bool, "names": list, "extra": dict}
PIPELINE = {
    name: Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
    for name, kind in KINDS.items()
} | {"needed": Parameter("needed", Parameter.KEYWORD_ONLY, annotation=str)}


def test_texts_are_read_as_what_the_input_wants() -> None:
    given = {
        "text": "3",
        "count": "-3",
        "rate": "1e-3",
        "flag": "False",
        "names": '["a", 1]',
        "extra": '{"a": 1}',
        "needed": "",
    }
    expected = given | {"count": -3, "rate": 0.001, "flag": False, "names": ["a", 1], "extra": {"a": 1}}
    assert checked_arguments(PIPELINE, given) == expected
    assert checked_arguments(PIPELINE, expected) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 3),
        ("count", "3.0"),
        ("count", 3.0),
        ("count", True),
        ("rate", "fast"),
        ("rate", "nan"),
        ("rate", "inf"),
        ("rate", None),
        ("flag", "yes"),
        ("flag", 1),
        ("names", "{}"),
        ("names", "[1"),
        ("extra", "[]"),
    ],
)
def test_values_of_another_type_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} = "):
        checked_arguments(PIPELINE, {name: value, "needed": "x"})


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"no input 'txt': did you mean 'text'\?; count = 'x' .*needs 'needed'"
    ):
        checked_arguments(PIPELINE, {"txt": "a", "count": "x"})


def test_assignments_may_hold_equals_signs_and_nothing() -> None:
    assert parse_assignments(("a=b=c", "d=")) == {"a": "b=c", "d": ""}
