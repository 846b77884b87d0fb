"""What a killed command leaves behind: `python benchmarks/kills.py RUN [--kills 30]`.

Commands over a finished run are killed at random moments, by turns with SIGKILL and SIGTERM. Afterwards the
output is whole or absent, nothing that was there before has changed, and the same command, left alone, ends
well and clears what the killed ones left.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

STATUS_OF_TERM = 128 + signal.SIGTERM
REPOSITORY = Path(__file__).resolve().parents[1]
BUILD = "from tsa_model.sequences.build import build_sequences as f; f({events!r}, {run!r}, {output!r})"
SCORES = (
    "from tsa_model.scoring import generate_scores as f; from tsa_model.settings.run import RunConfig; "
    "f({store!r}, {onnx!r}, RunConfig.load({run!r}), {output!r}, {output!r} + '.html')"
)


class Victim(NamedTuple):
    """A command that writes a folder."""

    name: str
    command: list[str]
    output: Path
    is_whole: Callable[[Path], bool]


class Found(NamedTuple):
    """How things were after one kill."""

    victim: str
    number: str
    after_s: float
    ended: int
    output: str
    """absent, whole, or half."""
    scratch: int
    """Temporary names that were not there before."""


def victims(run: Path, folder: Path) -> list[Victim]:
    """The commands, over the outputs of a run; each writes into a folder of its own."""
    stages = run.resolve() / "stages"
    description = folder / "run.json"
    config = json.loads(json.loads((run / "arguments.json").read_text())["config"])
    description.write_text(json.dumps(config))
    # Two epochs have every kind of moment that a kill can meet, the one between epochs too.
    short = folder / "short.json"
    short.write_text(json.dumps(config | {"training": config["training"] | {"max_epochs": 2}}))
    events, store = (
        stages / "validate-events" / "validated" / "events.parquet",
        stages / "build-sequences" / "store",
    )
    onnx, model = stages / "export-onnx" / "onnx", stages / "generate-scores" / "scores" / "model"
    tsa = [sys.executable, str(REPOSITORY / "pipeline.py")]

    def place(name: str) -> Path:
        (folder / name).mkdir()
        (folder / name / "theirs.txt").write_text("not ours")
        return folder / name / "out"

    def call(text: str, output: Path) -> list[str]:
        given = {"events": str(events), "run": str(description), "store": str(store), "onnx": str(onnx)}
        return [sys.executable, "-c", text.format(**given, output=str(output))]

    score, train, build, scores = (place(name) for name in ("score", "train", "build", "scores"))
    by_score = ["score", "--model", str(model), "--events", str(events), "--output", str(score)]
    by_train = ["train", "--store", str(store), "--config", str(short), "--model", str(train)]
    log = ["--training-log", str(train.with_name("log"))]
    return [
        Victim("score", [*tsa, *by_score], score, _has_all_listed),
        Victim("train", [*tsa, *by_train, *log], train, _is_model),
        Victim("build_sequences", call(BUILD, build), build, _is_store),
        Victim("generate_scores", call(SCORES, scores), scores, _has_all_listed),
    ]


def _has_all_listed(folder: Path) -> bool:
    from tsa_model.sealed import ListedFile, check_files

    listed = json.loads((folder / "manifest.json").read_text())["files"]
    entries = {name: ListedFile(bytes=one["bytes"], sha256=one["sha256"]) for name, one in listed.items()}
    check_files(folder, entries, ("manifest.json",))
    return True


def _is_store(folder: Path) -> bool:
    from tsa_model.sequences import SequenceStore

    return len(SequenceStore.open(folder)) > 0


def _is_model(folder: Path) -> bool:
    from tsa_model.network.checkpoint import load_model

    return load_model(folder) is not None


def kill_once(victim: Victim, number: signal.Signals, after_s: float) -> Found:
    """Start a command, kill it after some seconds, and look at what it left."""
    before = set(victim.output.parent.iterdir())
    process = _start(victim)
    time.sleep(after_s)
    process.send_signal(number)
    process.communicate()
    output = "absent"
    if victim.output.exists():
        try:
            output = "whole" if victim.is_whole(victim.output) else "half"
        except (ValueError, OSError, KeyError):
            output = "half"
    left = [
        path for path in victim.output.parent.iterdir() if path.name.startswith(".") and path not in before
    ]
    return Found(victim.name, number.name, after_s, process.returncode, output, len(left))


def _start(victim: Victim) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        victim.command,
        cwd=victim.output.parent,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def digests(*folders: Path) -> dict[str, str]:
    """Every file in some folders → its digest."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def faults_afterwards(victim: Victim) -> int:
    """Let a command end by itself, and count what is wrong then."""
    failed = _start(victim).wait() != 0
    left = [path.name for path in victim.output.parent.iterdir() if path.name.startswith(".")]
    theirs = (victim.output.parent / "theirs.txt").read_text() == "not ours"
    print(f"{victim.name} afterwards: left {left or 'nothing'}, theirs {'kept' if theirs else 'LOST'}")
    return failed + bool(left) + (not theirs) + (not victim.is_whole(victim.output))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every kill, and what was lost or left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="*", help="of score, train, build_sequences, generate_scores")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(REPOSITORY))
    generator = random.Random(options.seed)
    inputs = options.run.resolve() / "stages"
    before = digests(inputs)
    faults = 0
    with tempfile.TemporaryDirectory() as scratch:
        commands = [
            victim
            for victim in victims(options.run, Path(scratch))
            if victim.name in (options.commands or [victim.name])
        ]
        lengths = {}
        for victim in commands:
            started = time.monotonic()
            if _start(victim).wait():
                print(f"{victim.name} fails by itself")
                return 1
            lengths[victim.name] = time.monotonic() - started
            print(f"{victim.name}: {lengths[victim.name]:.0f} s undisturbed", flush=True)
        found = []
        for number in range(options.kills):
            victim = commands[number % len(commands)]
            name = (signal.SIGKILL, signal.SIGTERM)[number // len(commands) % 2]
            one = kill_once(victim, name, generator.uniform(0.0, lengths[victim.name]))
            found.append(one)
            # What was whole before the kill must be whole after it: the first, undisturbed call made it.
            faults += one.output != "whole"
            # A command that is asked to end clears up itself. A bare function of the library cannot be asked.
            is_command = victim.name in ("score", "train")
            faults += is_command and one.ended == STATUS_OF_TERM and one.scratch > 0
            print(*one, flush=True)
        faults += sum(faults_afterwards(victim) for victim in commands)
    changed = before != digests(inputs)
    print(Counter(f"{one.number}: output {one.output}" for one in found))
    print(f"kills with scratch left: {sum(one.scratch > 0 for one in found)} of {len(found)}")
    print(f"inputs {'CHANGED' if changed else 'unchanged'}, faults {faults + changed}")
    return int(bool(faults) or changed)


if __name__ == "__main__":
    sys.exit(main())
