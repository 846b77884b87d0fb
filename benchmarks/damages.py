"""Kinds of damage to the bytes of a file, and to the content of a JSON document."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

Damage = Callable[[bytes, random.Random, list[bytes]], bytes]


def _flip(content: bytes, generator: random.Random, others: list[bytes]) -> bytes:
    found = bytearray(content)
    for _ in range(generator.choice((1, 1, 8))):
        found[generator.randrange(len(found))] ^= 1 << generator.randrange(8)
    return bytes(found)


def _garbage(content: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    return generator.randbytes(len(content))


BYTES: dict[str, Damage] = {
    "bits flipped": _flip,
    "cut off": lambda content, generator, _: content[: generator.randrange(len(content))],
    "empty": lambda content, generator, _: b"",
    "garbage": _garbage,
    "zeros at the end": lambda content, generator, _: content[: len(content) // 2].ljust(len(content), b"\0"),
    "something behind it": lambda content, generator, _: content + generator.randbytes(9),
    "another file": lambda content, generator, others: generator.choice(others),
}


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, child in children:
        yield from _places(child, (*path, key))


def _changed(content: bytes, generator: random.Random, change: Callable[[Any, Any], Any]) -> bytes:
    document = json.loads(content)
    *way, last = generator.choice(list(_places(document)))
    parent = document
    for key in way:
        parent = parent[key]
    change(parent, last)
    return json.dumps(document, indent=2).encode()


def _other_type(content: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    def change(parent: Any, key: Any) -> None:
        others = [None, True, 7, -1, 0.5, "x", [], {}, [[1]], {"a": 1}, "1", 10**15]
        parent[key] = generator.choice([one for one in others if type(one) is not type(parent[key])])

    return _changed(content, generator, change)


def _without_a_key(content: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    return _changed(content, generator, lambda parent, key: parent.pop(key))


def _nested(content: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    return _in_place(content, generator, "[" * 100_000 + "]" * 100_000)


def _in_place(content: bytes, generator: random.Random, text: str) -> bytes:
    def change(parent: Any, key: Any) -> None:
        parent[key] = "<here>"

    return _changed(content, generator, change).replace(b'"<here>"', text.encode(), 1)


def _key_twice(content: bytes, generator: random.Random, _: list[bytes]) -> bytes:
    document = json.loads(content)
    key = generator.choice(list(document))
    first = json.dumps({key: generator.choice((None, 1, "x", {}, []))})[1:-1]
    return b"{" + first.encode() + b"," + content.strip()[1:]


JSON: dict[str, Damage] = {
    "another type": _other_type,
    "a key less": _without_a_key,
    "a key more": lambda content, generator, _: b'{"unheard_of": 1,' + content.strip()[1:],
    "a key twice": _key_twice,
    "deep nesting": _nested,
    "a huge number": lambda content, generator, _: _in_place(
        content,
        generator,
        generator.choice(("1e999", "-1e999", "9" * 5000, "1" + "0" * 300, "NaN", "Infinity")),
    ),
    "a list": lambda content, generator, _: b"[" + content + b"]",
    "half a character": lambda content, generator, _: _in_place(content, generator, '"\\ud800"'),
}
