"""Faults in finished score files: what a program could have written instead, its manifest included."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FOLDERS = {"test": ".", "cali": "cali", "vali": "vali"}
HOUR_US = 3_600_000_000


class ScoreFolder:
    """A folder of score files that can be changed as a faulty program would have written it.

    The digests that the manifest lists are made anew after each change. Those of the pairs are not, because
    they come from the session.
    """

    def __init__(self, folder: Path, report: Path) -> None:
        self.folder, self.report = folder, report

    def path(self, period: str, name: str) -> Path:
        """A file of a period."""
        return self.folder / FOLDERS[period] / name

    def frame(self, period: str = "test") -> pd.DataFrame:
        """The content of a period's Parquet."""
        return pq.read_table(self.path(period, "scores.parquet")).to_pandas()

    def write(self, frame: pd.DataFrame, period: str = "test", lines: bool = True) -> None:
        """Write a period's Parquet and, unless `lines` is false, its two files of lines."""
        path = self.path(period, "scores.parquet")
        schema = pq.read_schema(path)
        columns = {name: pa.array(frame[name], from_pandas=True) for name in schema.names}
        table = pa.table({name: values.cast(schema.field(name).type) for name, values in columns.items()})
        pq.write_table(table, path, write_page_checksum=True)
        if lines:
            for name, column in (("score_file.csv", "score"), ("tag_file.csv", "label")):
                text = "".join(f"{value}\n" for value in frame[column].tolist())
                if column == "score":
                    text = "".join(f"{value!s}\n" for value in frame[column].to_numpy(np.float32))
                self.path(period, name).write_text(text)
        self.seal()

    def change(self, columns: Callable[[pd.DataFrame], dict[str, Any]], period: str = "test") -> None:
        """Give some columns of a period other values."""
        frame = self.frame(period)
        self.write(frame.assign(**columns(frame)), period)

    def metrics(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change `metrics.json`."""
        path = self.folder / "metrics.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        self.seal()

    def manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest itself."""
        from tsa_model.sealed import with_seal

        path = self.folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        sealed = content.pop("sha256", None) is not None
        path.write_text(json.dumps(with_seal(content) if sealed else content))

    def seal(self) -> None:
        """List every file of the folder as it is now."""
        from tsa_model.sealed import list_files

        def relist(content: dict[str, Any]) -> None:
            files = list_files(self.folder, ("manifest.json",))
            for name, file in files.items():
                entry = content["files"].setdefault(name, {})
                entry |= {"bytes": file.bytes, "sha256": file.sha256}
                if name.endswith("scores.parquet"):
                    entry["rows"] = pq.read_metadata(self.folder / name).num_rows
            content["files"] = {name: entry for name, entry in content["files"].items() if name in files}

        self.manifest(relist)

    def curves(self, period: str = "cali") -> tuple[Any, Any]:
        """Percentile map and calibrator fitted on a period's file."""
        from tsa_model.calibration import PercentileMap, fit_calibrator

        frame = self.frame(period)
        scores, labels = frame["score"].to_numpy(), frame["label"].to_numpy(np.int64)
        return PercentileMap.fit(scores), fit_calibrator("spline", scores, labels)

    def rescore(self, score: np.ndarray, period: str = "test") -> None:
        """Other scores, with the percentiles and probabilities that belong to them."""
        from tsa_model.calibration import PercentileMap, load_calibrator

        model, values = self.folder / "model", score.astype(np.float32)
        columns = {
            "score": values,
            "percentile": PercentileMap.load(model / "percentile_map.json").percentile(values),
        }
        if (path := model / "calibration.json").is_file():
            columns["calibrated_probability"] = load_calibrator(path).probability(values)
        self.change(lambda _: columns, period)


@dataclass(frozen=True)
class FileFault:
    """One fault.

    Attributes:
        name: what is wrong.
        spoil: changes a folder of score files.
    """

    name: str
    spoil: Callable[[ScoreFolder], None]


FILE_FAULTS: list[FileFault] = []


def fault(name: str) -> Callable[[Callable[[ScoreFolder], None]], Callable[[ScoreFolder], None]]:
    """Add a function to the catalogue."""

    def add(spoil: Callable[[ScoreFolder], None]) -> Callable[[ScoreFolder], None]:
        FILE_FAULTS.append(FileFault(name, spoil))
        return spoil

    return add


def scores_of(folder: ScoreFolder, period: str = "test") -> np.ndarray:
    """A period's scores, to be changed."""
    return folder.frame(period)["score"].to_numpy().copy()


@fault("two rows exchanged")
def exchange_two(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    first = len(score) // 3
    second = int(np.abs(score - score[first]).argmax())
    score[[first, second]] = score[[second, first]]
    folder.rescore(score)


@fault("two rows exchanged whose scores hardly differ")
def exchange_two_alike(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    by_score = np.argsort(score, kind="stable")
    gaps = np.diff(score[by_score])
    place = int(np.where(gaps > 0, gaps, np.inf).argmin())
    pair = by_score[[place, place + 1]]
    score[pair] = score[pair[::-1]]
    folder.rescore(score)


@fault("scores rounded to three digits")
def round_scores(folder: ScoreFolder) -> None:
    folder.rescore(scores_of(folder).round(3))


@fault("scores rounded to six digits")
def round_scores_finely(folder: ScoreFolder) -> None:
    folder.rescore(scores_of(folder).round(6))


@fault("one score rounded to three digits")
def round_one_score(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    score[len(score) // 2] = score[len(score) // 2].round(3)
    folder.rescore(score)


@fault("scores in float16")
def halve_precision(folder: ScoreFolder) -> None:
    folder.rescore(scores_of(folder).astype(np.float16))


@fault("every row has the score of the row before")
def shift_scores(folder: ScoreFolder) -> None:
    folder.rescore(np.roll(scores_of(folder), 1))


@fault("rows not put back after sorting by score")
def sort_scores(folder: ScoreFolder) -> None:
    folder.rescore(np.sort(scores_of(folder)))


@fault("64 rows have the scores of the 64 before")
def repeat_a_piece(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    score[128:192] = score[64:128]
    folder.rescore(score)


@fault("scores of the last 64 rows are 0")
def forget_the_end(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    score[-64:] = 0
    folder.rescore(score)


@fault("a score that is no number written as 0")
def hide_a_nan(folder: ScoreFolder) -> None:
    score = scores_of(folder)
    score[7] = 0.0
    folder.rescore(score)


@fault("the two scores of an order exchanged: 1 - score")
def score_the_other_class(folder: ScoreFolder) -> None:
    folder.rescore(1 - scores_of(folder))


@fault("validation scores rounded to three digits")
def round_validation_scores(folder: ScoreFolder) -> None:
    folder.rescore(scores_of(folder, "vali").round(3), "vali")


@fault("labels of the next row")
def shift_labels(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"label": np.roll(frame["label"].to_numpy(), -1)})


@fault("one label turned")
def turn_a_label(folder: ScoreFolder) -> None:
    def turn(frame: pd.DataFrame) -> dict[str, Any]:
        label = frame["label"].to_numpy().copy()
        label[11] = 1 - label[11]
        return {"label": label}

    folder.change(turn)


@fault("percentiles of the validation period's map")
def percentiles_of_another_map(folder: ScoreFolder) -> None:
    percentiles, _ = folder.curves("vali")
    folder.change(lambda frame: {"percentile": percentiles.percentile(frame["score"].to_numpy())})


@fault("one percentile one step too high")
def raise_a_percentile(folder: ScoreFolder) -> None:
    def raise_one(frame: pd.DataFrame) -> dict[str, Any]:
        percentile = frame["percentile"].to_numpy().copy()
        percentile[np.argsort(percentile)[len(frame) // 2]] += 0.001
        return {"percentile": percentile}

    folder.change(raise_one)


@fault("probabilities of an old calibrator")
def probabilities_of_another_calibrator(folder: ScoreFolder) -> None:
    _, calibrator = folder.curves("vali")
    folder.change(lambda frame: {"calibrated_probability": calibrator.probability(frame["score"].to_numpy())})


@fault("old calibrator in the model folder, probabilities and digests to match")
def exchange_the_calibrator(folder: ScoreFolder) -> None:
    from tsa_model.files import sha256

    _, calibrator = folder.curves("vali")
    path = folder.folder / "model" / "calibration.json"
    former = json.loads(path.read_text())
    kept = {name: former[name] for name in former.keys() - calibrator.document().keys()}
    path.write_text(json.dumps({**calibrator.document(), **kept}))
    relist_model(folder)
    for period in FOLDERS:
        frame = folder.frame(period)
        probability = calibrator.probability(frame["score"].to_numpy())
        folder.write(frame.assign(calibrated_probability=probability, calibrator_digest=sha256(path)), period)
    folder.manifest(lambda content: content.update(calibrator_digest=sha256(path)))


@fault("old percentile map in the model folder, percentiles to match")
def exchange_the_map(folder: ScoreFolder) -> None:
    percentiles, _ = folder.curves("vali")
    path = folder.folder / "model" / "percentile_map.json"
    table = np.stack([percentiles.scores, percentiles.percentiles], axis=1).tolist()
    path.write_text(json.dumps({**json.loads(path.read_text()), "table": table}))
    relist_model(folder)
    for period in FOLDERS:
        folder.change(lambda frame: {"percentile": percentiles.percentile(frame["score"].to_numpy())}, period)


def relist_model(folder: ScoreFolder) -> None:
    """List the files of the model folder as they are now."""
    from tsa_model.export.description import OnnxDescription, write_description

    model = folder.folder / "model"
    content = json.loads((model / "onnx.json").read_text())
    content.pop("sha256", None)
    write_description(OnnxDescription.model_validate_json(json.dumps(content)), model)


@fault("probabilities without the bounds")
def drop_the_bounds(folder: ScoreFolder) -> None:
    _, calibrator = folder.curves()
    curve = calibrator.calibrator
    folder.change(lambda frame: {"calibrated_probability": curve.probability(frame["score"].to_numpy())})


@fault("probabilities are the scores")
def skip_calibration(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"calibrated_probability": frame["score"].to_numpy(np.float64)})


@fault("probabilities left out")
def lose_probabilities(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"calibrated_probability": np.full(len(frame), np.nan)})


@fault("times of another time zone")
def shift_times(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"order_time": frame["order_time"] + pd.Timedelta(HOUR_US, "us")})


@fault("one time a microsecond too late")
def shift_a_time(folder: ScoreFolder) -> None:
    def shift(frame: pd.DataFrame) -> dict[str, Any]:
        late = pd.Series(np.where(np.arange(len(frame)) == 5, 1, 0), index=frame.index)
        return {"order_time": frame["order_time"] + pd.to_timedelta(late, unit="us")}

    folder.change(shift)


@fault("times cut to whole days")
def cut_times(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"order_time": frame["order_time"].dt.floor("D")})


@fault("validation and calibration files exchanged")
def exchange_periods(folder: ScoreFolder) -> None:
    vali, cali = folder.frame("vali"), folder.frame("cali")
    folder.write(cali, "vali")
    folder.write(vali, "cali")


@fault("a row there twice")
def repeat_a_row(folder: ScoreFolder) -> None:
    frame = folder.frame()
    folder.write(frame.iloc[[*range(10), *range(9, len(frame))]].reset_index(drop=True))


@fault("a row lost")
def lose_a_row(folder: ScoreFolder) -> None:
    frame = folder.frame()
    folder.write(frame.drop(index=20).reset_index(drop=True))


@fault("a row lost, and taken out of the digest too")
def lose_a_row_before_scoring(folder: ScoreFolder) -> None:
    from tsa_model.scoring.pairs import PairDigest

    lose_a_row(folder)
    frame = folder.frame()
    digest = str(PairDigest.of(frame["order_id"].to_numpy(), frame["score"].to_numpy()))
    folder.manifest(lambda content: content["pairs"].update(test=digest))


@fault("two rows exchanged, and in the digest too")
def exchange_many_before_scoring(folder: ScoreFolder) -> None:
    """The digest is blind here; the orders that are computed again are not, at one order in ten."""
    from tsa_model.scoring.pairs import PairDigest

    score = scores_of(folder)
    tenth = np.arange(0, len(score) - 1, 10)
    score[tenth], score[tenth + 1] = score[tenth + 1], score[tenth]
    folder.rescore(score)
    frame = folder.frame()
    digest = str(PairDigest.of(frame["order_id"].to_numpy(), frame["score"].to_numpy()))
    folder.manifest(lambda content: content["pairs"].update(test=digest))


@fault("order ids of the files through float32")
def cast_ids(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"order_id": frame["order_id"].astype(np.float32).astype(np.int64)})


@fault("one order id of a stranger")
def score_a_stranger(folder: ScoreFolder) -> None:
    def rename(frame: pd.DataFrame) -> dict[str, Any]:
        ids = frame["order_id"].to_numpy().copy()
        ids[3] = ids.max() + 10**9
        return {"order_id": ids}

    folder.change(rename)


@fault("two order ids exchanged")
def exchange_ids(folder: ScoreFolder) -> None:
    def exchange(frame: pd.DataFrame) -> dict[str, Any]:
        ids = frame["order_id"].to_numpy().copy()
        ids[[30, 60]] = ids[[60, 30]]
        return {"order_id": ids}

    folder.change(exchange)


@fault("Parquet sorted by score, its lines left in time order")
def sort_parquet(folder: ScoreFolder) -> None:
    folder.write(folder.frame().sort_values("score", ignore_index=True), lines=False)


@fault("all files sorted by score")
def sort_everything(folder: ScoreFolder) -> None:
    folder.write(folder.frame().sort_values("score", ignore_index=True))


@fault("lines of the score file in reverse")
def turn_lines(folder: ScoreFolder) -> None:
    path = folder.path("test", "score_file.csv")
    path.write_text("\n".join(path.read_text().split()[::-1]) + "\n")
    folder.seal()


@fault("lines of the score file rounded")
def round_lines(folder: ScoreFolder) -> None:
    path = folder.path("cali", "score_file.csv")
    path.write_text("".join(f"{float(line):.4f}\n" for line in path.read_text().split()))
    folder.seal()


@fault("tag file of another period")
def exchange_tags(folder: ScoreFolder) -> None:
    folder.path("test", "tag_file.csv").write_text(folder.path("vali", "tag_file.csv").read_text())
    folder.seal()


@fault("rows that name another model")
def rename_the_model(folder: ScoreFolder) -> None:
    folder.change(lambda frame: {"model_digest": ["0" * 64] * len(frame)})


@fault("digest of the pairs left out of the manifest")
def lose_the_digest(folder: ScoreFolder) -> None:
    folder.manifest(lambda content: content.update(pairs={}))


@fault("AUC in the metrics 0.01 too high")
def raise_the_auc(folder: ScoreFolder) -> None:
    folder.metrics(
        lambda content: content["test"]["auc"].update(value=content["test"]["auc"]["value"] + 0.01)
    )


@fault("average precision of the validation period in the metrics")
def figures_of_another_period(folder: ScoreFolder) -> None:
    from sklearn.metrics import average_precision_score

    frame = folder.frame("vali")
    other = float(average_precision_score(frame["label"], frame["score"]))
    folder.metrics(lambda content: content["test"]["average_precision"].update(value=other))


@fault("one fraud too many in the metrics")
def count_a_fraud_more(folder: ScoreFolder) -> None:
    folder.metrics(lambda content: content["frauds"].update(test=content["frauds"]["test"] + 1))


@fault("alert threshold of the test period")
def threshold_of_test(folder: ScoreFolder) -> None:
    score = np.sort(scores_of(folder).astype(np.float64))
    name = "alert_rate_0.01"
    folder.metrics(
        lambda content: content["thresholds"].update({name: float(score[-max(1, len(score) // 100)])})
    )


@fault("report of another run")
def exchange_the_report(folder: ScoreFolder) -> None:
    page = folder.report.read_text()
    marker = "<span>ROC AUC</span><b>"
    place = page.index(marker) + len(marker)
    folder.report.write_text(page[:place] + "0.9999" + page[place + 6 :])
