"""Faults in the values of finished score files: scores, labels, percentiles, probabilities."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from score_folder import FOLDERS, ScoreFolder, fault, relist_model, scores_of


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
