"""Printing help and refusing an argument import no library that takes long; the errors are one clear line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands.group import SECTIONS
from commands.options import BASELINE, EXPORTED, MODEL, STORE

ROOT = Path(__file__).parents[2]
HEAVY = {
    "torch",
    "pytorch_lightning",
    "pandas",
    "numpy",
    "pyarrow",
    "kfp",
    "kubernetes",
    "google",
    "requests",
    "rich",
    "onnxruntime",
    "great_expectations",
}
# Runs the command lines of its argument one after the other, and tells of each how it ended.
SCRIPT = """
import contextlib, io, json, sys
import pipeline
found = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            pipeline.main(words, prog_name="tsa")
        except SystemExit as end:
            status = end.code
    heavy = sorted(set(json.loads(sys.argv[2])) & set(sys.modules))
    found.append({"words": words, "status": status, "said": said.getvalue(), "heavy": heavy})
print(json.dumps(found))
"""
FOLDERS = (STORE, MODEL, EXPORTED, BASELINE)
COMMANDS = [name for names in SECTIONS.values() for name in names]
HELP = [["--help"], *([name, "--help"] for name in COMMANDS)]
HELP += [["schedule", action, "--help"] for action in ("create", "list", "pause", "resume", "delete")]

TRAIN = ("train", "--store", "here", "--model", "m", "--training-log", "l")
CHECK = ("check", "--store", "here", "--model", "here")
EXPORT = ("export", "--store", "here", "--model", "here", "--verdict", "file")
SCORE = ("score", "--model", "here", "--events", "file")
COMPARE = ("compare", "--challenger", "here", "--events", "file", "--verdict", "file", "--contract", "file")
CREATE = ("schedule", "create", "--cron", "0 2 * * 1", "--host", "kfp.example")
SUBMIT = ("submit", "--host", "kfp.example")
NO_TIME = "'yesterday' is no moment"
NOWHERE = "no description 'nowhere': neither a file nor one of demo, handbook"
NO_SETTING = "dataset.nmae: there is no such setting"
ERRORS: list[tuple[tuple[str, ...], int, str]] = [
    (("rnu",), 2, "No such command 'rnu'"),
    *(((name, "--colour"), 2, "No such option") for name in COMMANDS),
    (("run", "--seed", "three"), 2, "'three' is not a valid integer"),
    (("run", "--config", "nowhere"), 1, NOWHERE),
    (("run", "--config", "bad.yaml"), 1, NO_SETTING),
    (("run", "--config", "handbook"), 2, "give the file with --events"),
    (("run", "--data-interval-end", "yesterday"), 1, NO_TIME),
    (("init", "--events", "nowhere"), 1, "--events: there is no file or folder nowhere"),
    (
        ("init", "--events", "file", "--output", "here"),
        1,
        "--output 'here' is a folder, and a file is needed",
    ),
    (("compile", "--target", "moon"), 2, "'moon' is not one of 'kubeflow', 'vertex'"),
    (("compile", "--stages", "nowhere.yaml"), 1, "nowhere.yaml"),
    (("compile", "--stages", "bad.yaml"), 1, "dataset"),
    (("submit",), 1, "no host: give --host or KF_PIPELINES_ENDPOINT"),
    (("submit", "--host", "ftp://kfp.example"), 1, "is no address like"),
    (("submit", "--connection", "nowhere.yaml"), 1, "connection file nowhere.yaml cannot be read"),
    ((*SUBMIT, "-p", "max_epoch=2"), 1, "no input 'max_epoch': did you mean 'max_epochs'?"),
    ((*SUBMIT, "-p", "seed=three"), 1, "seed = 'three' is no whole number"),
    ((*SUBMIT, "-p", "seed"), 1, "'seed' is no NAME=VALUE"),
    ((*SUBMIT, "--seed", "1", "-p", "seed=2"), 1, "seed: given as an option and with --param"),
    ((*SUBMIT, "--data-interval-end", "yesterday"), 1, NO_TIME),
    ((*SUBMIT, "--config", "nowhere"), 1, NOWHERE),
    ((*SUBMIT, "--config", "bad.yaml"), 1, NO_SETTING),
    ((*SUBMIT, "--config", "handbook"), 2, "give the file with --events"),
    ((*SUBMIT, "--stages", "nowhere.yaml"), 1, "nowhere.yaml"),
    (("schedule", "--cron", "0 2 * * 7"), 1, "Sunday is 0"),
    (("schedule", "create"), 2, "Missing option '--cron'"),
    (("schedule", "--cron", "0 2 * * 1"), 1, "no host"),
    ((*CREATE, "-p", "colour=red"), 1, "no input 'colour': there are events, config"),
    ((*CREATE, "-p", "promote=yes"), 1, "promote = 'yes' is no true or false"),
    ((*CREATE, "--config", "bad.yaml"), 1, NO_SETTING),
    *((("schedule", action), 1, "no host") for action in ("list", "pause", "resume", "delete")),
    (("schedule", "pause", "one", "--name", "two"), 2, "two names: one and two"),
    ((*TRAIN, "--config", "nowhere"), 1, NOWHERE),
    (("train", "--store", "nowhere"), 1, "--store: there is no folder nowhere"),
    ((*CHECK, "--config", "bad.yaml"), 1, NO_SETTING),
    ((*CHECK, "--baseline", "nowhere"), 1, "--baseline: there is no folder nowhere"),
    ((*EXPORT, "--config", "nowhere"), 1, NOWHERE),
    (("export", "--verdict", "nowhere"), 1, "--verdict: there is no file or folder nowhere"),
    ((*SCORE, "--since", "yesterday"), 2, "'yesterday' is no time"),
    ((*SCORE, "--orders", "some"), 2, "'some' is not one of 'auto', 'test', 'all'"),
    (("score", "--model", "nowhere"), 1, "--model: there is no folder nowhere"),
    (("score", "--model", "empty"), 1, "--model: empty/onnx.json is missing: empty is not the folder of an"),
    ((*TRAIN[:1], "--store", "empty"), 1, "empty/manifest.json is missing: empty is not a sequence store"),
    (("check", "--model", "empty"), 1, "empty/model.json is missing: empty is not the folder of a trained"),
    (("score", "--events", "nowhere"), 1, "--events: there is no file or folder nowhere"),
    ((*COMPARE, "--champion", "nowhere"), 1, "--champion: there is no folder nowhere"),
    (("audit",), 2, "give either --run or --model"),
    (("audit", "--run", "nowhere"), 1, "--run: there is no file or folder nowhere"),
    (("audit", "--model", "empty"), 1, "empty/onnx.json is missing: empty is not the folder of an exported"),
    (COMPARE, 2, "give either --registry or --champion"),
    ((*COMPARE, "--registry", "r", "--confidence", "2"), 1, "confidence: Input should be less than 1"),
    (("promote", "--registry", "r", "--challenger", "here"), 1, "compare challenger and champion first"),
    (("rollback", "--registry", "r"), 1, "the champion's registry r does not exist"),
    (("capture", "--legacy", "a:b", "--config", "bad.yaml", "--out", "b"), 1, "there is no such setting"),
    (("capture", "--legacy", "a:b", "--config", "nowhere", "--out", "b"), 1, "there is no file or folder"),
]


def run(folder: Path, *lines: tuple[str, ...] | list[str]) -> list[dict[str, Any]]:
    """How each command line ends, all in one process."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(lines), json.dumps(sorted(HEAVY))],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_printing_help_imports_nothing_heavy(tmp_path: Path) -> None:
    for one in run(tmp_path, *HELP):
        assert one["heavy"] == [], one["words"]
        assert one["status"] == 0, one["words"]
        assert "Usage: tsa" in one["said"]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], dict[str, Any]]:
    """How each of `ERRORS` ends, where little is what it should be."""
    folder = tmp_path_factory.mktemp("errors")
    (folder / "empty").mkdir()
    (folder / "here").mkdir()
    for kind in FOLDERS:
        (folder / "here" / kind.holds).touch()
    (folder / "file").touch()
    (folder / "bad.yaml").write_text("dataset: {nmae: typo}\n")
    before = sorted(folder.iterdir())
    found = run(folder, *(words for words, _, _ in ERRORS))
    assert sorted(folder.iterdir()) == before, "a refused command leaves nothing behind"
    return {tuple(one["words"]): one for one in found}


@pytest.mark.parametrize(("words", "status", "said"), ERRORS, ids=lambda value: str(value)[:60])
def test_refusing_an_argument_imports_nothing_heavy(
    ended: dict[tuple[str, ...], dict[str, Any]], words: tuple[str, ...], status: int, said: str
) -> None:
    one = ended[words]
    assert said in one["said"]
    assert one["status"] == status
    assert one["heavy"] == []
    assert "Traceback" not in one["said"]
    lines = one["said"].splitlines()
    assert sum(line.startswith(("Error: ", "NOT PROVEN EQUIVALENT: ")) for line in lines) == 1


def test_a_command_that_works_imports_what_the_test_looks_for(tmp_path: Path) -> None:
    (compiled,) = run(tmp_path, ["compile", "--output", "pipeline.yaml"])
    assert compiled["status"] is None or compiled["status"] == 0
    assert {"kfp", "google"} <= set(compiled["heavy"])


def test_folders_are_recognised_by_the_files_that_the_library_writes() -> None:
    from tsa_model.export import file_names
    from tsa_model.legacy import baseline
    from tsa_model.network import checkpoint
    from tsa_model.sequences.store import storage

    files = (storage.MANIFEST, checkpoint.DESCRIPTION_FILE, file_names.DESCRIPTION_FILE, baseline.MANIFEST)
    assert tuple(kind.holds for kind in FOLDERS) == files
