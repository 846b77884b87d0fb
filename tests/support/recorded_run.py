"""The folder of a run, as it grows while the run goes on: records, curves and documents of two stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.small_run import small_run

from launcher.local.folder import OWNER
from launcher.records.record import Recorder
from tsa_model.files import write_json
from tsa_model.scratch import temporary_name

CURVES = "stages/train-model/logs/csv/version_0/metrics.csv"
WEIGHTS = "7ae668f9303c45be4fd416ccb53f5beb0146a1b1874676f5f3b6ae3c91c7499d"


class RecordedRun:
    """A run that is told what happens next.

    Args:
        runs: folder of all runs.
        tracking: the section of the run description.
    """

    def __init__(self, runs: Path, tracking: dict[str, Any] | None = None, name: str = "demo-1") -> None:
        self.folder = runs / name
        (self.folder / "logs").mkdir(parents=True)
        (self.folder / "tmp").mkdir()
        temporary_name(self.folder / "tmp" / OWNER).touch()  # the process that runs it lives: this one
        run = small_run().changed(tracking=tracking)
        write_json(self.folder / "arguments.json", {"config": run.model_dump_json(), "seed": 7})
        (self.folder / "pipeline.yaml").write_text("stages: 2\n")
        self.recorder = Recorder(
            self.folder, "demo", {"train-model": (), "check-equivalence": ("train-model",)}
        )

    def train(self, epochs: int = 3) -> None:
        """The first stage begins, and writes its curves epoch by epoch."""
        self.recorder.start("train-model", self._log("1-train-model.log"))
        file = self.folder / CURVES
        file.parent.mkdir(parents=True)
        lines = ["epoch,lr,step,train_loss,val/auroc"]
        for epoch in range(epochs):
            lines += [
                f",{0.1 / (epoch + 1)},{10 * epoch + 5},,",
                f"{epoch},,{10 * epoch + 9},,{0.5 + epoch / 10}",
            ]
            lines += [f"{epoch},,{10 * epoch + 9},{1 / (epoch + 1)},"]
        file.write_text("\n".join(lines) + "\n")

    def end_training(self) -> None:
        """The first stage has its outputs."""
        metadata = {"weights_sha256": WEIGHTS, "val/auroc": 0.7, "epochs": 3}
        content = {"artifacts": {"model": {"artifacts": [{"metadata": metadata}]}}}
        self._write("train-model/executor_output.json", json.dumps(content))
        self.recorder.end("train-model", 12.5, "val/auroc 0.7000")

    def judge(self, passed: bool = True) -> None:
        """The second stage, from its beginning to its end."""
        self.recorder.start("check-equivalence", self._log("2-check-equivalence.log"))
        verdict = {"passed": passed, "reason": "9 checks", "verdict_id": "abc", "sha256": "d" * 64}
        self._write("check-equivalence/verdict", json.dumps(verdict))
        self._write("check-equivalence/report.html", "<p>passed</p>")
        if passed:
            self.recorder.end("check-equivalence", 3.0, "passed: 9 checks")
        else:
            self.recorder.fail("check-equivalence", "the network is another one")
        self.recorder.close("succeeded" if passed else "failed")

    def whole(self) -> RecordedRun:
        """All of it."""
        self.train()
        self.end_training()
        self.judge()
        return self

    def _log(self, name: str) -> Path:
        log = self.folder / "logs" / name
        log.write_text("began\n")
        return log

    def _write(self, name: str, text: str) -> None:
        file = self.folder / "stages" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
