"""The chain of a run: events → store → model → verdict → ONNX → calibrators → scores → comparison."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tsa_model.audit.links import Audit, Link, walk
from tsa_model.audit.model import calibrators, champion, model_link, read_model
from tsa_model.equivalence.results import Verdict, read_verdict
from tsa_model.export.description import OnnxDescription
from tsa_model.export.file_names import DESCRIPTION_FILE, PREPROCESSING_FILE
from tsa_model.export.proof import check_exported, check_verdict
from tsa_model.files import sha256
from tsa_model.network.description import (
    DESCRIPTION_FILE as MODEL_JSON,
)
from tsa_model.network.description import (
    ModelDescription,
    check_model_folder,
    read_description,
)
from tsa_model.pages import names
from tsa_model.promotion.comparison import Comparison
from tsa_model.promotion.proofs import SAME_RUN, ContractHead, check_contract_of, read_contract
from tsa_model.scoring.files import (
    MANIFEST_FILE,
    PARQUET_FILE,
    ScoreManifest,
    check_scored_with,
    read_score_folder,
)
from tsa_model.sealed import check_together
from tsa_model.sealed_pages import check_page
from tsa_model.sequences.store.storage import MANIFEST, StoreManifest, events_digest, read_manifest

FIRST = "validate-events"
IN_EVERY_ROW = {
    "run_id": "run_id",
    "model_digest": "model_digest",
    "calibrator_digest": "calibrator_digest",
    "gate_id": "gate_id",
}
"""Column of the score files → entry of their manifest."""


def audit_run(run: str | Path, registry: str | Path | None = None) -> Audit:
    """Walk the chain of a finished run.

    Args:
        run: the run's folder (`runs/latest`), or the folder with one folder per stage.
        registry: of the champion; None = the one the run was given, if it is here.

    Returns:
        Every link up to the first that is broken.

    Raises:
        ValueError: the folder is none of a run.
    """
    folder = Path(run)
    stages = next((place for place in (folder / "stages", folder) if (place / FIRST).is_dir()), None)
    if stages is None:
        raise ValueError(f"{folder} is not the folder of a run: it has no stages/{FIRST}")
    chain = _Chain(stages)
    steps = {
        "events": chain.check_events,
        "store": chain.check_store,
        "model": chain.check_model,
        "verdict": chain.check_verdict,
        "onnx": chain.check_onnx,
        "calibrators": chain.check_calibrators,
        "scores": chain.check_scores,
        "online": chain.check_online,
        "comparison": chain.check_comparison,
    }
    place = Path(registry) if registry is not None else _registry_of(folder)
    if place is not None:
        steps["champion"] = lambda: champion(place, chain.folder)
    if stages != folder:  # a run on this machine
        steps["pages"] = lambda: chain.check_pages(folder)
    return walk(str(run), steps)


def _registry_of(folder: Path) -> Path | None:
    """The registry that the arguments of a local run name, if it is still there."""
    path = folder / "arguments.json"
    if not path.is_file():
        return None
    champion = json.loads(path.read_text(encoding="utf-8")).get("champion")
    return Path(champion) if champion and Path(champion).is_dir() else None


class _Chain:
    """The files of a run, and what was read of them so far."""

    store: StoreManifest
    store_sha256: str
    events_sha256: str
    model: ModelDescription
    verdict: Verdict
    about: OnnxDescription
    scored: OnnxDescription
    comparison_sha256: str
    manifest: ScoreManifest

    def __init__(self, stages: Path) -> None:
        self.stages = stages
        self.validated = stages / "validate-events" / "validated"
        self.store_dir = stages / "build-sequences" / "store"
        self.model_dir = stages / "train-model" / "model"
        self.verdict_path = stages / "check-equivalence" / "verdict"
        self.onnx_dir = stages / "export-onnx" / "onnx"
        self.scores_dir = stages / "generate-scores" / "scores"
        self.comparison_path = stages / "compare-champion" / "comparison"
        self.folder = self.scores_dir / "model"
        self.results = {
            "raw events": stages / "validate-events" / "result",
            "sequences": stages / "build-sequences" / "result",
            "scores": stages / "generate-scores" / "contract_result",
            "online": stages / "check-online" / "result",
        }
        self.contracts: dict[str, ContractHead] = {}

    def _contract(self, name: str) -> ContractHead:
        """The result of a contract that was kept; its page shows it."""
        path = self.results[name]
        self.contracts[name] = result = read_contract(path)
        _check_page(path.with_name(path.name.replace("result", "report")), path, result.sha256)
        if result.contract != name:
            raise ValueError(f"{path} is the result of the contract {result.contract!r}, not {name!r}")
        if not result.passed:
            raise ValueError(f"the contract of {name} is broken, see {path}")
        return result

    def check_events(self) -> Link:
        """The validated events are those whose contract was kept."""
        self.events_sha256 = events_digest(self.validated)
        result, events = self._contract("raw events"), (self.validated, self.events_sha256)
        stated = (self.results["raw events"], result.events_sha256)
        check_together("the validated events are", stated, events, SAME_RUN)
        finding = f"the events of {result.dataset!r} keep their contract"
        return _link("events", self.validated, self.events_sha256, finding, result.signature)

    def check_store(self) -> Link:
        """The store was built from these events, and the contract of its sequences was kept."""
        self.store, self.store_sha256 = read_manifest(self.store_dir)
        manifest, path = self.store_dir / MANIFEST, self.results["sequences"]
        events = (manifest, self.store.events_sha256)
        check_together("the validated events are", events, (self.validated, self.events_sha256), SAME_RUN)
        result = self._contract("sequences")
        stated = (path, result.store_sha256)
        check_together("the sequence store is", stated, (manifest, self.store_sha256), SAME_RUN)
        check_together("the validated events are", (path, result.events_sha256), events, SAME_RUN)
        finding = (
            f"built from these events: {self.store.orders:,} orders, {len(self.store.files)} files as listed"
        )
        return _link("store", self.store_dir, self.store_sha256, finding, result.signature)

    def check_model(self) -> Link:
        """The weights are those of the model folder, trained on this store."""
        self.model = read_description(self.model_dir)
        check_model_folder(self.model_dir, self.model)
        path = self.model_dir / MODEL_JSON
        stated, store = (path, self.model.store_sha256), (self.store_dir / MANIFEST, self.store_sha256)
        check_together("the sequence store is", stated, store, SAME_RUN)
        finding = "trained on this store; weights and configuration as the folder states them"
        return _link("model", self.model_dir, self.model.weights_sha256, finding)

    def check_verdict(self) -> Link:
        """The gate let exactly this model pass, on this store."""
        self.verdict = read_verdict(self.verdict_path)
        store = (self.store_dir, self.store_sha256)
        check_verdict(self.verdict, self.verdict_path, self.model_dir, self.model, *store)
        if not self.verdict.passed:
            raise ValueError(f"{self.verdict_path}: the model did not pass the gate: {self.verdict.reason}")
        _check_page(self.verdict_path.with_name("report"), self.verdict_path, self.verdict.sha256)
        finding = f"on these weights, this configuration and this store: {self.verdict.reason}"
        return _link("verdict", self.verdict_path, self.verdict.verdict_id, finding, self.verdict.signature)

    def check_onnx(self) -> Link:
        """The ONNX file was exported on this verdict, with the store's vocabulary."""
        self.about = about = read_model(self.onnx_dir)
        path = self.onnx_dir / DESCRIPTION_FILE
        check_exported(self.verdict, self.verdict_path, about, path)
        events, vocabulary = (path, about.events_sha256), self.store_dir / PREPROCESSING_FILE
        check_together("the validated events are", events, (self.validated, self.events_sha256), SAME_RUN)
        stated = (path, about.preprocessing_sha256)
        check_together("the vocabulary is", stated, (vocabulary, sha256(vocabulary)), SAME_RUN)
        return model_link("onnx", self.onnx_dir, about)

    def check_calibrators(self) -> Link:
        """The folder that scores holds the same ONNX file, with calibrators fitted on its scores."""
        self.scored = read_model(self.folder)
        path = self.folder / DESCRIPTION_FILE
        for what, name in (("the ONNX file is", "onnx_sha256"), ("the verdict is", "verdict_id")):
            exported = (self.onnx_dir / DESCRIPTION_FILE, getattr(self.about, name))
            check_together(what, (path, getattr(self.scored, name)), exported, SAME_RUN)
        return calibrators(self.folder, self.scored)

    def check_scores(self) -> Link:
        """The score files were made by this model folder, and their contract was kept."""
        self.manifest = manifest = read_score_folder(self.scores_dir)
        check_scored_with(self.scores_dir, manifest, self.folder, self.scored)
        n_rows = sum(self._check_rows(self.scores_dir / name) for name in _score_files(manifest))
        result, path = self._contract("scores"), self.results["scores"]
        check_contract_of(result, path, self.scored, self.folder / DESCRIPTION_FILE)
        scores = (self.scores_dir / MANIFEST_FILE, manifest.sha256)
        check_together("the scores are", (path, result.scores_sha256), scores, SAME_RUN)
        _check_page(self.scores_dir.with_name("report"), *scores)
        finding = f"{n_rows:,} scores of this model; {len(manifest.files)} files as listed"
        return _link("scores", self.scores_dir, manifest.sha256 or "", finding, manifest.signature)

    def check_online(self) -> Link:
        """Orders get online what the batch gave them: this model, these scores."""
        result, path = self._contract("online"), self.results["online"]
        check_contract_of(result, path, self.scored, self.folder / DESCRIPTION_FILE)
        scores = (self.scores_dir / MANIFEST_FILE, self.manifest.sha256)
        check_together("the scores are", (path, result.scores_sha256), scores, SAME_RUN)
        finding = "orders of this model get online what the batch gave them"
        return _link("online", path, result.sha256 or "", finding, result.signature)

    def _check_rows(self, path: Path) -> int:
        """Every row of a score file says what the manifest says; returns their number."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table = pq.read_table(path, columns=list(IN_EVERY_ROW))
        for column, entry in IN_EVERY_ROW.items():
            for found in pc.unique(table[column]).to_pylist():
                stated = (self.scores_dir / MANIFEST_FILE, getattr(self.manifest, entry) or "")
                check_together(f"{column} is", (path, found or ""), stated, SAME_RUN)
        return int(table.num_rows)

    def check_comparison(self) -> Link:
        """The comparison is about this model, on this evidence."""
        path = self.comparison_path
        comparison = Comparison.load(path)
        model = (self.folder / DESCRIPTION_FILE, sha256(self.folder / DESCRIPTION_FILE))
        check_together("the model is", (path, comparison.challenger.digest), model, SAME_RUN)
        evidence = {"verdict": (self.verdict_path, self.verdict.sha256)}
        evidence |= {
            f"contract of {name}": (self.results[name], result.sha256)
            for name, result in self.contracts.items()
        }
        evidence["scores"] = (self.scores_dir / MANIFEST_FILE, self.manifest.sha256)
        for name, found in evidence.items():
            check_together(f"the {name} is", (path, comparison.evidence.get(name)), found, SAME_RUN)
        _check_page(path.with_name("report"), path, comparison.sha256)
        outcome = "may" if comparison.passed else "must not"
        finding = f"about this model and these proofs: it {outcome} be promoted"
        self.comparison_sha256 = comparison.sha256 or ""
        return _link("comparison", path, self.comparison_sha256, finding, comparison.signature)

    def check_pages(self, folder: Path) -> Link:
        """The pages about the whole run: each as it was written, about what lies here."""
        record, page = folder / "run.json", folder / names.START
        about = {
            self.stages / names.AUDIT: (self.comparison_path, self.comparison_sha256),
            self.stages / names.CARD: (self.folder / DESCRIPTION_FILE, self.scored.sha256 or ""),
        }
        if record.is_file():
            about[page] = (record, sha256(record))
        shown = {path: of for path, of in about.items() if path.is_file()}
        for path, (document, digest) in shown.items():
            check_page(path, document, digest)
        listed = ", ".join(path.name for path in shown) or "none was written"
        digest = hashlib.sha256("".join(sha256(path) for path in shown).encode()).hexdigest()
        return _link("pages", folder, digest, f"as they were written, about this run: {listed}")


def _check_page(page: Path, document: Path, about: str | None) -> None:
    """Pages that lie beside a document show it: a stage's own, and the `.html` of a run that people open."""
    for each in (page, page.with_name(f"{page.name}.html")):
        if each.is_file():
            check_page(each, document, about or "")


def _score_files(manifest: ScoreManifest) -> list[str]:
    names = [name for name in manifest.files if name.split("/")[-1] == PARQUET_FILE]
    if not names:
        raise ValueError(f"the manifest of the scores lists no {PARQUET_FILE}")
    return names


def _link(name: str, path: Path, digest: str, finding: str, signature: str = "") -> Link:
    return Link(name=name, path=str(path), digest=digest, passed=True, finding=finding, signature=signature)
