"""Run descriptions that would not end are refused at once."""

from __future__ import annotations

import json

import pytest
import yaml

from tsa_model.settings.base import MOST_CHARACTERS, load_yaml
from tsa_model.settings.run import RunConfig

LAUGHS = "dataset:\n  a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)
)
MAPS = "x0: &x0 {a: 1}\n" + "".join(
    f"x{n}: &x{n} {{{', '.join(f'k{i}: *x{n - 1}' for i in range(9))}}}\n" for n in range(1, 20)
)
MERGED = "m0: &m0 {a: 1}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 20)
)


@pytest.mark.parametrize("text", [LAUGHS, MAPS, MERGED])
def test_anchors_that_multiply_are_refused(text):
    with pytest.raises(ValueError, match="make more than 100,000 values of it"):
        RunConfig.load(text)


@pytest.mark.parametrize("text", ["dataset: &a [*a]", "dataset: &a {b: *a}"])
def test_an_anchor_that_holds_itself_is_refused(text):
    with pytest.raises(yaml.YAMLError, match="holds itself"):
        load_yaml(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: " + "[" * 3_000 + "]" * 3_000, "nested too deeply"),
        ("a: " + "9" * 5_000, "digit"),
        ("# " + "x" * MOST_CHARACTERS, "settings have at most"),
        ("a: 2025-02-31", "day"),
    ],
)
def test_what_yaml_cannot_hold_is_refused_in_words(text, message):
    with pytest.raises(yaml.YAMLError, match=message):
        load_yaml(text)


def test_an_anchor_in_good_measure_is_read():
    assert load_yaml("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}
    assert load_yaml("") is None


@pytest.mark.parametrize(
    "text",
    ['{"a": [1, 2.5, "x\\u00e9", true, null], "b": {"c": "2025-01-31", "d": 1e-3}}', "{a: [1, 2], b: yes}"],
)
def test_json_means_what_it_means_to_json_and_braces_may_hold_yaml(text):
    expected = {"a": [1, 2], "b": True} if text.startswith("{a") else json.loads(text)
    assert load_yaml(text) == expected
    assert load_yaml(f"\n {text}\n") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' + "[" * 3_000 + "]" * 3_000 + "}", "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", "digit"),
        ('{"a": 1,\n "b": }}', "line 2"),
    ],
)
def test_wrong_json_is_refused_in_words(text, message):
    with pytest.raises(yaml.YAMLError, match=message):
        load_yaml(text)


def test_what_one_reader_changes_the_next_does_not_see():
    text = "a: {b: [1]}"
    load_yaml(text)["a"]["b"].append(2)
    assert load_yaml(text) == {"a": {"b": [1]}}
