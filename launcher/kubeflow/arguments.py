"""Arguments of a run, checked against the pipeline's inputs before anything is sent."""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping
from typing import Any

from launcher.definition import Inputs


def checked_arguments(inputs: Inputs, given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments in the types of the pipeline's inputs.

    Args:
        inputs: the pipeline's inputs: name → annotated parameter.
        given: name → value; a text (from a command line) is read as what the input wants.

    Raises:
        ValueError: with every mistake in it: unknown names, missing inputs, values of another type.
    """
    problems, arguments = [], {}
    for name, value in given.items():
        if name not in inputs:
            near = difflib.get_close_matches(name, inputs, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(inputs)}"
            problems.append(f"the pipeline has no input {name!r}: {hint}")
            continue
        kind = inputs[name].annotation
        try:
            arguments[name] = _READ[kind](value)
        except (ValueError, TypeError):
            problems.append(f"{name} = {value!r} is no {_WORDS[kind]}")
    for name, one in inputs.items():
        if name not in given and one.default is inspect.Parameter.empty:
            problems.append(f"the pipeline needs {name!r} ({_WORDS[one.annotation]})")
    if problems:
        raise ValueError("; ".join(problems))
    return arguments


def parse_assignments(texts: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` texts as a dictionary.

    Raises:
        ValueError: a text has no `=`, or a name is given twice.
    """
    pairs = [text.partition("=") for text in texts]
    names = [name for name, _, _ in pairs]
    for name, equals, _ in pairs:
        if not (name and equals):
            raise ValueError(f"{name!r} is no NAME=VALUE")
        if names.count(name) > 1:
            raise ValueError(f"{name!r} is given twice")
    return {name: value for name, _, value in pairs}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise TypeError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if number - number != 0:  # NaN and infinity are not JSON
        raise ValueError
    return number


def _truth(value: Any) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise TypeError
    return value


def _json_of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        content = json.loads(value) if isinstance(value, str) else value
        if not isinstance(content, kind):
            raise TypeError
        return content

    return read


_READ: dict[type, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _truth,
    list: _json_of(list),
    dict: _json_of(dict),
}
_WORDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "JSON list",
    dict: "JSON object",
}
