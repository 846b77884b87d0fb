"""Faults in finished score files: times, rows, order ids, lines, manifest, metrics and report.

The catalogue `FILE_FAULTS` is whole once this module and `mutants_of_scores` are imported.
"""

from __future__ import annotations

from typing import Any

import mutants_of_scores  # noqa: F401 - its faults come first
import numpy as np
import pandas as pd
from score_folder import FILE_FAULTS, HOUR_US, FileFault, ScoreFolder, fault, relist_model, scores_of

__all__ = ["FILE_FAULTS", "FileFault", "ScoreFolder", "relist_model"]


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
