"""A copy of the tiny run that a test may spoil, and the stages that must refuse it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.chain import Chain, Places, compare

from tsa_model.export.description import write_description
from tsa_model.export.stage import export_onnx
from tsa_model.promotion import Comparison
from tsa_model.scoring import ScoringModel, generate_scores
from tsa_model.sealed import with_seal


@dataclass(frozen=True)
class Spoilt:
    """A run in which something is exchanged."""

    chain: Chain
    places: Places
    out: Path

    @property
    def other(self) -> Places:
        """Artifacts of another run over the same data set."""
        return self.chain.other

    @property
    def scoring_model(self) -> Path:
        """The folder that scores."""
        return self.places.scores / "model"

    def edit(self, path: Path, **changes: Any) -> None:
        """Change entries of a document by hand; its seal stays as it was."""
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def forge(self, path: Path, **changes: Any) -> None:
        """Change entries of a document and seal it again, as the program would."""
        path.write_text(json.dumps(with_seal(json.loads(path.read_text()) | changes)))

    def forge_folder(self, folder: Path, **changes: Any) -> None:
        """Write the description of a model folder again, with every file that lies there now."""
        self.forge(folder / "onnx.json", **changes)
        from tsa_model.export.description import OnnxDescription
        from tsa_model.sealed import read_document

        write_description(read_document(folder / "onnx.json", OnnxDescription, "a description"), folder)

    def exchange(self, name: str) -> None:
        """Put an artifact of the other run in the place of one of this run."""
        target, source = getattr(self.places, name), getattr(self.other, name)
        if target.is_dir():
            shutil.rmtree(target)
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)

    def export(self) -> None:
        """The export stage."""
        places = self.places
        export_onnx(places.store, places.model, places.verdict, self.chain.run, self.out / "onnx")

    def score(self) -> None:
        """The scoring stage."""
        places, out = self.places, self.out
        generate_scores(places.store, places.onnx, self.chain.run, out / "scores", out / "report")

    def load(self) -> None:
        """What every use of a model folder does first."""
        ScoringModel.load(self.scoring_model)

    def compare(self) -> None:
        """The comparison; a proof that is not accepted counts as a refusal."""
        compare(self.places, self.chain.run)
        comparison = Comparison.load(self.places.comparison)
        if not comparison.passed:
            raise ValueError(comparison.failures)


Spoil = Callable[[Spoilt], None]


@pytest.fixture
def spoilt(chain: Chain, tmp_path: Path) -> Spoilt:
    shutil.copytree(chain.places.folder, tmp_path / "run")
    return Spoilt(chain, Places(tmp_path / "run"), tmp_path / "out")
