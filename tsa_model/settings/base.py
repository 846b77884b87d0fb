"""Base of every configuration: frozen, closed, and clear about the value it refuses."""

from __future__ import annotations

import copy
import difflib
import functools
import json
import re
import typing
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tsa_model.strict_json import no_number, once

LONGEST_NAME = 100
"""Bytes of a name that becomes part of a path; a file name has room for 255."""


def _usable_in_paths(name: str) -> str:
    if not re.fullmatch(r"\w[\w. -]*(?<![. ])", name) or len(name.encode()) > LONGEST_NAME:
        raise ValueError(
            f"folders are called after it: at most {LONGEST_NAME} bytes of letters, digits, '_', '-', '.', "
            "and spaces, with a letter, digit or '_' first, and neither '.' nor a space last"
        )
    return name


PathName = Annotated[str, AfterValidator(_usable_in_paths)]
"""A name that files and folders are called after."""


class Settings(BaseModel):
    """A frozen Pydantic model that refuses unknown fields and keeps field docstrings as descriptions."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )

    def changed(self, **fields: Any) -> Self:
        """The same settings with other values for some fields, checked as if they had been read so.

        Raises:
            ValueError: there is no such field, or its value is refused.
        """
        kept = {name: getattr(self, name) for name in self.model_fields_set}
        try:
            return type(self).model_validate({**kept, **fields})
        except ValidationError as error:
            raise ValueError(in_words(error, type(self))) from None


MOST_CHARACTERS = 2**20
"""Longest text of settings."""
MOST_NODES = 100_000
"""Most values in it, each counted as often as anchors repeat it."""


def load_yaml(text: str) -> Any:
    """Read YAML (or JSON) as plain values; a key that stands twice in one mapping is refused.

    YAML's own reader keeps the second of the two and says nothing.

    Raises:
        yaml.YAMLError: it is no YAML, a key stands twice, or anchors make it endless.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has {len(text):,} characters; settings have at most {MOST_CHARACTERS:,}")
    if text.lstrip().startswith("{"):  # what stages hand on; JSON's own reader is fifty times as fast
        try:
            return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
        except (ValueError, RecursionError):
            pass  # YAML's reader says what is wrong and where, or it is a mapping in YAML's braces
    return copy.deepcopy(_from_yaml(text))  # for the caller to change


@functools.lru_cache(maxsize=8)
def _from_yaml(text: str) -> Any:
    loader = _OnceLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {})
        return loader.construct_document(node)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply for settings") from None
    except ValueError as error:  # a number of thousands of digits, a date of no calendar
        raise yaml.YAMLError(str(error)) from None
    finally:
        loader.dispose()


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """Number of values below a node, written out; more than `MOST_NODES` and endless ones are refused."""
    if id(node) in counted:
        if not counted[id(node)]:
            text = "an anchor holds itself, which would never end"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
        return counted[id(node)]
    counted[id(node)] = 0
    total = 1
    if isinstance(node, (yaml.MappingNode, yaml.SequenceNode)):
        for value in node.value:
            total += sum(
                _count(child, counted) for child in (value if isinstance(value, tuple) else (value,))
            )
            if total > MOST_NODES:
                text = f"anchors or lists make more than {MOST_NODES:,} values of it; write out what is meant"
                raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
    counted[id(node)] = total
    return total


class _OnceLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                text = f"{key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong with some settings, a line per setting: its place, the value, and what would fit.

    Args:
        error: what Pydantic found.
        model: what the settings were read as.
    """
    return "\n".join(_line(found, model) for found in error.errors(include_url=False))


def _line(found: Any, model: type[BaseModel]) -> str:
    place = ".".join(str(step) for step in found["loc"])
    if found["type"] == "missing":
        return f"{place}: missing"
    if found["type"] == "extra_forbidden":
        known = sorted(_section(model, found["loc"][:-1]).model_fields)
        close = difflib.get_close_matches(str(found["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
        return f"{place}: there is no such setting; {hint}"
    message = found["msg"].removeprefix("Value error, ")
    given = found["input"]
    return f"{place or model.__name__}: {message}" + (
        "" if isinstance(given, dict) else f" (given: {given!r})"
    )


def _section(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The settings class at a path of field names and list places."""
    for step in path:
        field = model.model_fields.get(str(step))
        for each in _classes(field.annotation) if field else ():
            model = each
    return model


def _classes(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in typing.get_args(annotation) for found in _classes(part)]
