from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from launcher.local.failure import exception_text


def log_of(code: str) -> str:
    process = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True)
    return process.stdout + process.stderr


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise ValueError('amount: 3 rows')", "ValueError: amount: 3 rows"),
        ("raise ValueError('one\\n  two\\n\\nthree')", "ValueError: one\n  two\n\nthree"),
        (
            "import json; json.loads('{')",
            "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        (
            """
            try:
                {}["inner"]
            except KeyError as error:
                raise RuntimeError("outer") from error
            """,
            "RuntimeError: outer",
        ),
    ],
)
def test_the_last_exception_is_found(code: str, expected: str) -> None:
    assert exception_text("earlier output\n" + log_of(code)) == expected


def test_without_an_exception_the_end_of_the_log_is_shown() -> None:
    text = exception_text("\n".join(f"line {number}" for number in range(20)) + "\n\nKilled\n", tail_lines=2)
    assert text.splitlines()[1:] == ["line 19", "Killed"]
