"""What happens to damaged files: `python benchmarks/damage.py RUN [--registry DIR] [--count 400]`.

Each trial damages one file of a copy of a finished run, lets everything that reads it read it, and says how
that ended: refused with the file's name, harmless (what is read is the same), or one of the two ways that
must not be: refused without the name, and read as something else in silence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from damages import BYTES, JSON

Read = Callable[[], Any]


class Trial(NamedTuple):
    """One damaged file and how reading it ended."""

    file: str
    damage: str
    outcome: str
    """refused, harmless, unnamed, silent or traceback."""
    words: str


class Copy:
    """A copy of a finished run, in which one file is damaged at a time."""

    def __init__(self, run: Path, registry: Path | None, folder: Path) -> None:
        self.stages = folder / "stages"
        for stage in (run / "stages").iterdir():
            if stage.is_dir():  # pages over the whole run lie beside the stages
                shutil.copytree(stage, self.stages / stage.name)
        self.registry = folder / "registry"
        if registry is not None:
            shutil.copytree(registry, self.registry)
        self.description = folder / "run.yaml"
        self.description.write_text(_description(run))
        self.baseline = folder / "baseline"
        from tsa_model.legacy import baseline

        shutil.copytree(Path(baseline.__file__).parent / "recorded", self.baseline)

    def files(self) -> dict[Path, Read]:
        """Every file that some command reads → what reads it."""
        made = self.stages / "generate-scores" / "scores"
        folders: dict[Path, Read] = {
            self.stages / "build-sequences" / "store": self._store,
            self.stages / "train-model" / "model": self._network,
            self.stages / "export-onnx" / "onnx": lambda: self._model(self.stages / "export-onnx" / "onnx"),
            made / "model": lambda: self._model(made / "model"),
            self.baseline: self._recorded,
        }
        found: dict[Path, Read] = {}
        for folder, read in folders.items():
            found |= {path: read for path in sorted(folder.rglob("*")) if path.is_file()}
        for name in (
            "build-sequences/result",
            "validate-events/result",
            "generate-scores/contract_result",
            "check-online/result",
        ):
            found[self.stages / name] = self._evidence
        found[self.stages / "check-equivalence" / "verdict"] = self._evidence
        found[self.stages / "compare-champion" / "comparison"] = self._comparison
        found[self.stages / "validate-events" / "validated" / "events.parquet"] = self._events
        # Of the score files, and of pages that show a sealed document, only the audit asks what they say.
        pages = [path for path in self.stages.glob("*/*report") if path.is_file()]
        for path in sorted([*pages, *(path for path in made.rglob("*") if path.is_file())]):
            found.setdefault(path, self._audit)
        found[self.description] = self._run
        if self.registry.exists():
            paths = sorted(path for path in self.registry.rglob("*") if path.is_file())
            found |= {path: self._champion for path in paths if path.name != ".lock"}
        return found

    def _store(self) -> Any:
        from tsa_model.sequences import SequenceStore

        store = SequenceStore.open(self.stages / "build-sequences" / "store")
        return store.digest, store.description, store.preprocessing

    def _network(self) -> Any:
        from tsa_model.network.checkpoint import load_model

        network = load_model(self.stages / "train-model" / "model")
        values = b"".join(tensor.numpy().tobytes() for tensor in network.state_dict().values())
        return hashlib.sha256(values).hexdigest(), network.config

    def _model(self, folder: Path) -> Any:
        from tsa_model.scoring.model import ScoringModel
        from tsa_model.sequences.features.preprocessing import Preprocessing

        model = ScoringModel.load(folder)
        percentiles = model.percentiles()
        table = None if percentiles is None else percentiles.scores.tolist()
        return model.description, model.dataset, Preprocessing.load(model.preprocessing_path), table

    def _evidence(self) -> Any:
        from tsa_model.promotion.proofs import check_evidence
        from tsa_model.scoring.model import ScoringModel

        results = [
            self.stages / name
            for name in (
                "build-sequences/result",
                "validate-events/result",
                "generate-scores/contract_result",
                "check-online/result",
            )
        ]
        model = ScoringModel.load(self.stages / "generate-scores" / "scores" / "model")
        checks = check_evidence(model, self.stages / "check-equivalence" / "verdict", results)
        failed = [one.reason for one in checks if not one.passed]
        if failed:
            raise ValueError("; ".join(failed))
        return checks

    def _comparison(self) -> Any:
        from tsa_model.promotion import Comparison

        return Comparison.load(self.stages / "compare-champion" / "comparison")

    def _champion(self) -> Any:
        from tsa_model.promotion import Registry

        registry = Registry(self.registry)
        return registry.pointer(), registry.champion_dir()

    def _audit(self) -> Any:
        from tsa_model.audit import audit_run

        audit = audit_run(self.stages)
        if not audit.passed:
            raise ValueError(audit.links[-1].finding)
        return audit.links

    def _events(self) -> Any:
        import pyarrow as pa

        from tsa_model.events.reading import open_events

        path = self.stages / "validate-events" / "validated" / "events.parquet"
        (source,) = open_events(path).sources
        return pa.concat_tables(source.parts(source.schema.names))

    def _run(self) -> Any:
        from commands.checks import load_description

        return load_description(str(self.description))

    def _recorded(self) -> Any:
        from tsa_model.legacy.baseline import read_baseline

        return read_baseline(self.baseline)


def _description(run: Path) -> str:
    """The run description of a run, as YAML."""
    import yaml

    arguments = json.loads((run / "arguments.json").read_text())
    return yaml.safe_dump(json.loads(arguments["config"]), sort_keys=False)


def damage_files(copy: Copy, count: int, seed: int) -> list[Trial]:
    """Damage one file after the other; each is whole again afterwards.

    Args:
        copy: of a run.
        count: trials.
        seed: of files and damages.
    """
    generator = random.Random(seed)
    files = copy.files()
    whole: dict[Read, Any] = {}
    trials = []
    contents = {path: path.read_bytes() for path in files}
    others = [content for content in contents.values() if content]
    # By turns a file of any kind, so that the many columns of a store do not crowd out the rest.
    by_kind: dict[str, list[Path]] = {}
    for path in files:
        by_kind.setdefault(f"{files[path]!r} {path.suffix}", []).append(path)
    for number in range(count):
        path = generator.choice(by_kind[list(by_kind)[number % len(by_kind)]])
        content, read = contents[path], files[path]
        if read not in whole:
            whole[read] = _fingerprint(read())
        kinds = BYTES | (JSON if _is_json(content) else {})
        name = generator.choice(list(kinds))
        changed = kinds[name](content or b"x", generator, others)
        path.write_bytes(changed)
        try:
            outcome, words = _outcome(read, path, whole[read])
        finally:
            path.write_bytes(content)
        trials.append(Trial(str(path.relative_to(copy.stages.parent)), name, outcome, words))
    return trials


def _is_json(content: bytes) -> bool:
    try:
        return bool(json.loads(content)) and content.strip().startswith(b"{")
    except ValueError:
        return False


def _fingerprint(found: Any) -> Any:
    return repr(found) if not hasattr(found, "equals") else found


def _outcome(read: Read, path: Path, whole: Any) -> tuple[str, str]:
    try:
        found = _fingerprint(read())
    except (ValueError, OSError) as error:
        return _named(str(error), path), str(error)
    except Exception as error:
        message = getattr(error, "message", None)  # of click's exceptions
        if message is not None:
            return _named(message, path), message
        # The command line shows all others as a traceback.
        return "traceback", f"{type(error).__name__}: {error}"
    same = found.equals(whole) if hasattr(found, "equals") else found == whole
    return ("harmless" if same else "silent"), ""


def _named(message: str, path: Path) -> str:
    # Of a file and its manifest, nobody can say which was damaged: both are named.
    manifest = f"the manifest of {path.parent} lists" if path.suffix == ".json" else str(path)
    return "refused" if str(path) in message or manifest in message else "unnamed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the counts, and every trial that ended as none may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--registry", type=Path, help="with a champion")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        trials = damage_files(Copy(options.run, options.registry, Path(folder)), options.count, options.seed)
    for trial in trials:
        if trial.outcome not in ("refused", "harmless"):
            print(f"{trial.outcome}: {trial.file}, {trial.damage}: {trial.words[:300]}")
    counts = Counter(trial.outcome for trial in trials)
    print(", ".join(f"{outcome} {number}" for outcome, number in counts.most_common()))
    return 0 if not counts.keys() - {"refused", "harmless"} else 1


if __name__ == "__main__":
    sys.exit(main())
