"""A sealed folder or document is opened as it was written, or refused in one sentence that names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from tsa_model.files import write_json
from tsa_model.sealed import (
    MAX_BYTES,
    Digest,
    ListedFile,
    check_files,
    list_files,
    read_document,
    read_sealed,
    with_seal,
)
from tsa_model.settings import Settings

REMEDY = "make it again"


class Part(Settings):
    numbers: tuple[int, ...] = ()


class Example(Settings):
    name: str
    passed: bool
    share: float = 0.0
    made: datetime | None = None
    digest: Digest | None = None
    part: Part = Part()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    (folder / "below").mkdir(parents=True)
    (folder / "a.npy").write_bytes(b"a" * 100)
    (folder / "below" / "b.json").write_text("{}")
    write_json(folder / "manifest.json", {"files": "not read here"})
    return folder


def listed(folder: Path) -> dict[str, ListedFile]:
    return list_files(folder, ("manifest.json",))


def test_every_file_is_listed_with_size_and_digest(folder: Path) -> None:
    files = listed(folder)
    assert list(files) == ["a.npy", "below/b.json"]
    assert files["a.npy"].bytes == 100
    assert files["below/b.json"].sha256 == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    check_files(folder, files, besides=("manifest.json",))
    check_files(folder, {name: file.sha256 for name, file in files.items()})


def alter(folder: Path) -> None:
    (folder / "a.npy").write_bytes(b"a" * 99 + b"b")


def remove(folder: Path) -> None:
    (folder / "a.npy").unlink()


def truncate(folder: Path) -> None:
    (folder / "a.npy").write_bytes(b"a" * 40)


def rename(folder: Path) -> None:
    (folder / "a.npy").rename(folder / "c.npy")


def add(folder: Path) -> None:
    (folder / "below" / "calibration.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (alter, "a.npy was changed or is damaged: SHA-256"),
        (remove, "a.npy is missing"),
        (truncate, "a.npy has 40 bytes instead of 100"),
        (rename, "a.npy is missing"),
        (add, "below/calibration.json is not listed in the manifest of"),
    ],
)
def test_a_folder_that_was_touched_is_refused(
    folder: Path, damage: Callable[[Path], None], words: str
) -> None:
    files = listed(folder)
    damage(folder)
    with pytest.raises(ValueError, match=rf"(?s){folder}/{words}.*; {REMEDY}$"):
        check_files(folder, files, ("manifest.json",), REMEDY)


def test_the_digest_alone_shows_a_cut_file_too(folder: Path) -> None:
    digests = {name: file.sha256 for name, file in listed(folder).items()}
    truncate(folder)
    with pytest.raises(ValueError, match=r"a\.npy was changed or is damaged"):
        check_files(folder, digests)


def test_a_file_systems_own_files_do_not_count(folder: Path) -> None:
    files = listed(folder)
    (folder / "below" / ".nfs0001").write_text("x")
    check_files(folder, files, ("manifest.json",))


@pytest.mark.parametrize("name", ["../other.npy", "/etc/passwd", "below/../a.npy", "./a.npy", "", "a\0b"])
def test_a_manifest_cannot_name_a_file_elsewhere(folder: Path, name: str) -> None:
    (folder.parent / "other.npy").write_bytes(b"a" * 100)
    entry = listed(folder)["a.npy"]
    with pytest.raises(ValueError, match=r"lists .* which is no file in it"):
        check_files(folder, {name: entry})


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "example.json"
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path) -> Example:
    return read_document(path, Example, "an example", "write it first")


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    example = Example(
        name="Größe",
        passed=True,
        share=1e-300,
        made=datetime(2025, 4, 1, tzinfo=UTC),
        digest="0" * 64,
        part=Part(numbers=(1, 2)),
    )
    write_json(tmp_path / "example.json", example.model_dump(mode="json"))
    assert read(tmp_path / "example.json") == example


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no valid JSON"),
        ('{"name": "x", "passed": tr', "no valid JSON"),
        ("\ufeff{}", "no valid JSON"),
        ("[]", "it holds a list, not an object"),
        ("3", "it holds a int, not an object"),
        ("null", "it holds a NoneType, not an object"),
        ("{}", "name: missing; passed: missing"),
        ('{"name": "x", "passed": false, "passed": true}', "'passed' stands twice"),
        ('{"name": "x", "passed": true, "part": {"numbers": [], "numbers": [1]}}', "'numbers' stands twice"),
        ('{"name": "x", "passed": "yes"}', r"passed: Input should be a valid boolean \(given: 'yes'\)"),
        ('{"name": "x", "passed": 1}', "passed: Input should be a valid boolean"),
        ('{"name": ["x"], "passed": true}', "name: Input should be a valid string"),
        ('{"name": "x", "passed": true, "part": []}', "part: Input should be an object"),
        ('{"name": "x", "passed": true, "part": {"numbers": [1, "2"]}}', r"part\.numbers\.1: Input"),
        ('{"name": "x", "passed": true, "part": {"number": [1]}}', "did you mean 'numbers'"),
        ('{"name": "x", "passed": true, "share": NaN}', "NaN is no number in JSON"),
        ('{"name": "x", "passed": true, "share": -Infinity}', "-Infinity is no number in JSON"),
        ('{"name": "x", "passed": true, "share": 1e999}', "the number 1e999 is too large"),
        ('{"name": "x", "passed": true, "share": 1' + "0" * 6000 + "}", r"10+\.\.\. has 6001 digits"),
        ('{"name": "\\ud800", "passed": true}', "surrogate"),
        ('{"name": "x", "passed": true, "made": "0001-01-01T00:00:00+99:00"}', "made: "),
        ('{"name": "x", "passed": true, "digest": "0xAB"}', "digest: String should match pattern"),
        ('{"a": ' * 100_000, "nested too deeply"),
        ('{"name": "x", "passed": true, "part": ' + "[" * 900 + "]" * 900 + "}", "example.json is not an"),
    ],
)
def test_a_document_that_holds_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ValueError, match=words) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path} is not an example: ")
    assert len(message) < 1500
    assert "\n" not in message


def test_a_long_value_is_not_repeated_whole(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"name": "x", "passed": "y" * 10**6}))
    with pytest.raises(ValueError, match="passed: Input should be a valid boolean") as caught:
        read(path)
    assert len(str(caught.value)) < 600


def test_only_the_first_problems_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({f"field{i}": i for i in range(10)}))
    with pytest.raises(ValueError, match=r"; and 9 more$"):
        read(path)


class Versioned(Settings):
    format: Literal[2] = 2
    name: str


@pytest.mark.parametrize("version", [1, "2", None, [2]])
def test_another_format_is_said_before_its_fields(tmp_path: Path, version: object) -> None:
    path = written(tmp_path, json.dumps({"format": version, "names": []}))
    with pytest.raises(ValueError, match=r"example\.json has format .*, this version reads 2$"):
        read_document(path, Versioned, "an example")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    path.write_bytes(b'{"name": "\xff"}')
    with pytest.raises(ValueError, match="is not an example: no valid JSON"):
        read(path)


def test_a_missing_document_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"example\.json is missing: write it first"):
        read(tmp_path / "example.json")


def test_a_huge_document_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "{}")
    os.truncate(path, MAX_BYTES + 1)
    with pytest.raises(ValueError, match="is not an example: it has 268,435,457 bytes"):
        read(path)


def test_a_document_that_states_its_digest_cannot_be_edited(tmp_path: Path) -> None:
    path = tmp_path / "example.json"
    write_json(path, with_seal(Example(name="x", passed=False).model_dump(mode="json")))
    assert read_sealed(path, Example, "an example", "").passed is False
    path.write_text(path.read_text().replace("false", "true"))
    with pytest.raises(ValueError, match=r"example\.json was edited: its content has not the SHA-256"):
        read_sealed(path, Example, "an example", "")
    path.write_text('{"name": "x", "passed": true}')
    with pytest.raises(ValueError, match="is not an example: sha256: missing"):
        read_sealed(path, Example, "an example", "")


def test_the_order_of_keys_does_not_matter_to_the_digest() -> None:
    assert with_seal({"a": 1, "b": [2.5]})["sha256"] == with_seal({"b": [2.5], "a": 1})["sha256"]
    assert with_seal({"a": 1})["sha256"] != with_seal({"a": 1.0})["sha256"]
