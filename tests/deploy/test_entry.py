"""What a container of the image runs for some words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "deploy" / "entry.sh"


def said(tmp_path: Path, *words: str) -> str:
    """What is run where the image's programs say their names and arguments."""
    for name in ("tsa", "python"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        program.chmod(0o755)
    (tmp_path / "serve").mkdir(exist_ok=True)
    done = subprocess.run(
        [str(ENTRY), *words], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("words", "run"),
    [
        ((), "tsa --help"),
        (("--help",), "tsa --help"),
        (("run", "--runs", "/tmp/a b"), "tsa run --runs /tmp/a b"),
        (("export", "--help"), "tsa export --help"),  # a word of the shell
        (("serve",), "tsa serve"),  # a folder is no program
        (("tsa", "runs"), "tsa runs"),
        (("python", "-m", "tsa_model.score"), "python -m tsa_model.score"),
        (("sh", "-c", "echo $0 $1", "a", "b c"), "a b c"),
        (("/bin/echo", "whole", "path"), "whole path"),
    ],
)
def test_a_program_of_the_image_is_run_and_anything_else_is_a_command(
    tmp_path: Path, words: tuple[str, ...], run: str
) -> None:
    assert said(tmp_path, *words) == run
