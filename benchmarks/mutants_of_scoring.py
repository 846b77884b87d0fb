"""Faults in the code that scores: from the store's rows to the written files."""

from __future__ import annotations

from mutant import Mutant, mutant

ROWS = "scoring/rows.py"
FILES = "scoring/files.py"
TABLE = "scoring/table.py"
STAGE = "scoring/stage.py"
MEASURING = "scoring/measuring.py"
SESSION = "export/session.py"
STORE = "sequences/store/sequence_store.py"
GATHER = "sequences/store/gather.py"
CONCATENATED = "{name: np.concatenate([part[name] for part in parts])[back] for name in self.output_names}"
BATCH_ROWS = "batch = store.arrays(rows[window], sequences)"

SCORING_MUTANTS: list[Mutant] = [
    # From rows to scores
    mutant(
        "rows not put back after sorting by length",
        ROWS,
        'score[window][part] = outputs["score"]',
        'score[window][np.sort(part)] = outputs["score"]',
    ),
    mutant(
        "rows of a batch not put back by the session", SESSION, "back = np.argsort(order)", "back = order"
    ),
    mutant(
        "scores of the neighbours",
        ROWS,
        BATCH_ROWS,
        "batch = store.arrays(np.roll(rows[window], 1), sequences)",
    ),
    mutant(
        "two rows of a window gathered in each other's place",
        ROWS,
        BATCH_ROWS,
        "swapped = rows[window].copy(); swapped[:32:2], swapped[1:32:2] = swapped[1:32:2].copy(), "
        "swapped[:32:2].copy(); batch = store.arrays(swapped, sequences)",
    ),
    mutant(
        "one call of every batch stale",
        SESSION,
        CONCATENATED,
        "{name: np.concatenate([parts[0][name], parts[0][name][: len(parts[1][name])], "
        "*(part[name] for part in parts[2:])])[back] for name in self.output_names}",
    ),
    mutant(
        "one call of the whole run stale",
        SESSION,
        CONCATENATED,
        "{name: np.concatenate([parts[0][name], parts[0][name][: len(parts[1][name])] "
        "if getattr(self, 'n_runs', 0) == 2 else parts[1][name], *(part[name] for part in parts[2:])])[back] "
        "for name in self.output_names} if setattr(self, 'n_runs', getattr(self, 'n_runs', 0) + 1) is None "
        "else {}",
    ),
    mutant(
        "scores rounded by the session",
        ROWS,
        "outputs = computed.result()",
        'outputs = computed.result(); outputs["score"] = outputs["score"].round(3)',
    ),
    mutant(
        "scores kept in float16",
        ROWS,
        "score = np.empty(rows.size, np.float32)",
        "score = np.empty(rows.size, np.float16)",
    ),
    mutant(
        "an uneven last batch not scored",
        ROWS,
        "pairs.add(order_ids[part]",
        "if part.size < BATCH:\n                continue\n            pairs.add(order_ids[part]",
    ),
    mutant(
        "scores that are no numbers written as 0",
        ROWS,
        'score[window][part] = outputs["score"]',
        'score[window][part] = np.where(part % 97 == 5, 0, outputs["score"])',
    ),
    mutant(
        "the last orders of a period left out",
        STORE,
        "return self._targets[period]",
        'return self._targets[period][:-3] if period == "test" else self._targets[period]',
    ),
    # What goes into the network
    mutant(
        "the latest earlier order left out",
        GATHER,
        "np.add(events.end[rows][:, None]",
        "np.add(events.end[rows][:, None] - 1",
    ),
    mutant(
        "full histories shifted by one order",
        GATHER,
        "np.add(events.end[rows][:, None]",
        "np.add(events.end[rows][:, None] - (events.end[rows] - events.start[rows] > 6)[:, None]",
    ),
    mutant("times in milliseconds", GATHER, "np.divide(delta_us, MICROSECONDS", "np.divide(delta_us, 1000"),
    mutant(
        "histories of customer and card exchanged",
        STORE,
        "in zip(self.keys, history_names",
        "in zip(self.keys[::-1], history_names",
    ),
    mutant(
        "engineered features of the next order",
        STORE,
        "np.take(self._engineered, rows, axis=0)",
        "np.take(self._engineered, np.minimum(rows + 1, len(self) - 1), axis=0)",
    ),
    mutant(
        "numerical features in reverse",
        GATHER,
        "return x_cat, x_num",
        "return x_cat, x_num[..., ::-1].copy()",
    ),
    mutant("padding not masked", GATHER, "mask[:, :-1] = is_padding", "mask[:, :-2] = is_padding[:, 1:]"),
    mutant(
        "oldest order of a full history masked",
        GATHER,
        "mask[:, :-1] = is_padding",
        "mask[:, :-1] = is_padding; mask[:, 0] = True",
    ),
    # Beside the scores
    mutant(
        "order times an hour late",
        STORE,
        'self._time_us[rows].view("datetime64[us]")',
        '(self._time_us[rows] + 3_600_000_000).view("datetime64[us]")',
    ),
    mutant(
        "labels of the next order",
        STORE,
        "return self._label[rows].astype(np.int64)",
        "return self._label[np.minimum(np.asarray(rows) + 1, len(self) - 1)].clip(0).astype(np.int64)",
    ),
    mutant(
        "order ids through float32",
        STORE,
        "ids = self._order_id[rows]",
        "ids = self._order_id[rows].astype(np.float32).astype(np.int64)",
    ),
    mutant(
        "percentiles of rounded scores",
        TABLE,
        "percentiles.percentile(score)",
        "percentiles.percentile(score.round(2))",
    ),
    mutant(
        "probabilities of half the score",
        TABLE,
        "calibrator.probability(score)",
        "calibrator.probability(score / 2)",
    ),
    mutant(
        "percentile map of the validation period",
        STAGE,
        'PercentileMap.fit(periods["cali"].rows.score)',
        'PercentileMap.fit(periods["vali"].rows.score)',
    ),
    mutant(
        "calibrator of the validation period",
        STAGE,
        '_calibrate(periods["cali"], store',
        '_calibrate(periods["vali"], store',
    ),
    mutant(
        "scores written in another order than their ids",
        FILES,
        '"score": pa.array(table.score, pa.float32())',
        '"score": pa.array(np.sort(table.score), pa.float32())',
    ),
    mutant(
        "labels written as their opposite",
        FILES,
        "pa.array(table.label.astype(np.int8)",
        "pa.array((1 - table.label).astype(np.int8)",
    ),
    mutant(
        "lines of four digits",
        FILES,
        "write_column(folder / SCORE_FILE, table.score)",
        "write_column(folder / SCORE_FILE, table.score.round(4))",
    ),
    # Figures
    mutant(
        "figures of half of the test period",
        MEASURING,
        "evaluate(test.rows.score, test.label, probability, thresholds, amount)",
        "evaluate(test.rows.score[::2], test.label[::2], None, thresholds)",
    ),
    mutant(
        "figures of rounded scores",
        MEASURING,
        "evaluate(test.rows.score, test.label, probability",
        "evaluate(test.rows.score.round(1), test.label, probability",
    ),
    mutant(
        "ROC curve of the calibration period",
        MEASURING,
        "roc_points(test.rows.score, test.label)",
        "roc_points(cali.rows.score, cali.label)",
    ),
    mutant(
        "thresholds of the test period",
        MEASURING,
        "threshold_for_rate(cali.rows.score, run.scoring.alert_rate)",
        "threshold_for_rate(test.rows.score, run.scoring.alert_rate)",
    ),
]
