"""What a store must contain, by a plain loop over all events per target; shares no code with the library."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np

START = datetime(2024, 3, 1, tzinfo=UTC)
START_S = int(START.timestamp())
DAY_S = 86_400


def description(**changes):
    """A small data set over 16 days: train 4 days, then 3 each."""
    content = {
        "name": "small",
        "order_id": "id",
        "customer_id": "who",
        "card_id": "card",
        "order_time": "when",
        "label": "fraud",
        "categorical": ["shop", "country"],
        "numerical": ["amount", "items"],
        "engineered": ["amount"],
        "may_be_missing": ["items"],
        "split": {},
    }
    for name, (first, last) in {
        "train": (0, 4),
        "vali": (4, 7),
        "cali": (7, 10),
        "test": (13, 16),
    }.items():
        content["split"][f"{name}_start"] = (START + timedelta(days=first)).isoformat()
        content["split"][f"{name}_end"] = (START + timedelta(days=last)).isoformat()
    return content | changes


def in_training(event):
    return START_S <= event["when"] < START_S + 4 * DAY_S


def fit_vocabulary(events, columns, min_count=2):
    """Column → (unknown index, value → index, default); and the first free index."""
    vocabulary, free = {}, 1
    for column in columns:
        counts = {}
        for event in events:
            if in_training(event) and event[column] is not None:
                counts[event[column]] = counts.get(event[column], 0) + 1
        kept = sorted(
            (value for value in counts if counts[value] >= min_count), key=lambda v: (-counts[v], v)
        )
        indices = {value: free + 1 + place for place, value in enumerate(kept)}
        vocabulary[column] = (free, indices, kept[0] if kept else None)
        free += 1 + len(kept)
    return vocabulary, free


def fit_scaling(values):
    """(scale, min, default) of the training values."""
    known = sorted(value for value in values if value is not None and not math.isnan(value))
    if not known:
        return 1.0, 0.0, 0.0
    low, high = known[0], known[-1]
    scale = 1 / (high - low) if high > low else 1.0
    middle = len(known) // 2
    median = known[middle] if len(known) % 2 else (known[middle - 1] + known[middle]) / 2
    return scale, -low * scale, median


def scaled(value, scaling):
    scale, low, default = scaling
    missing = value is None or math.isnan(value)
    return np.float32((default if missing else value) * scale + low)


def known_at(event, delay_s):
    """Since when the event's label is known: as it says itself, or after the delay."""
    told = event.get("told")
    return event["when"] + delay_s if told is None else told


def history(events, target, key):
    """Events of the target's key strictly before it, oldest first."""
    if target[key] is None:
        return []
    earlier = [e for e in events if e[key] == target[key] and e["when"] < target["when"]]
    return sorted(earlier, key=lambda e: (e["when"], e["id"]))


def encode(event, column, vocabulary):
    unknown, indices, default = vocabulary[column]
    value = default if event[column] is None else event[column]
    return indices.get(value, unknown)


def expected_batch(events, order_ids, settings):
    """The dual batch of the given orders, as numpy arrays."""
    vocabulary, free = fit_vocabulary(events, settings["categorical"])
    training = [e for e in events if in_training(e)]
    scaling = {
        c: fit_scaling([e[c] for e in training]) for c in {*settings["numerical"], *settings["engineered"]}
    }
    by_id = {e["id"]: e for e in events}
    targets = [by_id[i] for i in order_ids]
    seq_len = settings.get("seq_len", 51)
    delay_s = settings.get("label_delay_days", 0) * DAY_S
    n_cat = len(settings["categorical"]) + bool(settings.get("known_label"))
    batch = {}
    for name, key in (("cid", "who"), ("ccid", "card")):
        cat = np.zeros((len(targets), seq_len, n_cat), dtype=np.int64)
        num = np.zeros((len(targets), seq_len, len(settings["numerical"])), dtype=np.float32)
        time = np.zeros((len(targets), seq_len, 1), dtype=np.float32)
        mask = np.ones((len(targets), seq_len + 1), dtype=bool)
        mask[:, -1] = False
        for row, target in enumerate(targets):
            past = history(events, target, key)
            sequence = [*past[max(0, len(past) - (seq_len - 1)) :], target]
            for back, event in enumerate(reversed(sequence)):
                place = seq_len - 1 - back
                mask[row, place] = False
                time[row, place, 0] = min(target["when"] - event["when"], 1e7)
                codes = [encode(event, column, vocabulary) for column in settings["categorical"]]
                if settings.get("known_label"):
                    known = event is not target and known_at(event, delay_s) <= target["when"]
                    state = {1: 2, 0: 1}.get(event["fraud"], 0) if known else 0
                    codes.append(free + state)
                cat[row, place] = codes
                num[row, place] = [scaled(event[c], scaling[c]) for c in settings["numerical"]]
        batch |= {
            f"x_seq_cat_{name}": cat,
            f"x_seq_num_{name}": num,
            f"time_seq_{name}": time,
            f"key_padding_mask_{name}": mask,
        }
    engineered = [[scaled(t[c], scaling[c]) for c in settings["engineered"]] for t in targets]
    batch["x_engineered"] = np.array(engineered, dtype=np.float32).reshape(len(targets), -1)
    batch["label"] = np.array([-1 if t["fraud"] is None else t["fraud"] for t in targets])
    return batch


def window_value(events, target, key, statistic, days, column=None, delay_days=0):
    """One window feature of one order."""
    length_s, delay_s = days * DAY_S, delay_days * DAY_S
    past = history(events, target, key)
    if statistic in ("label_count", "label_rate"):
        now = target["when"]
        seen = [e for e in past if now - length_s < known_at(e, delay_s) <= now and e["fraud"] in (0, 1)]
        if statistic == "label_count":
            return float(len(seen))
        return sum(e["fraud"] for e in seen) / max(1, len(seen))
    if statistic == "fraud_mean":
        now = target["when"]
        frauds = [e for e in past if e["fraud"] == 1 and now - length_s < known_at(e, delay_s) <= now]
        amounts = [e[column] for e in frauds if e[column] is not None]
        return math.fsum(amounts) / max(1, len(amounts))
    seen = [e for e in past if target["when"] - length_s < e["when"]]
    if statistic == "count":
        return float(len(seen))
    known = [e[column] for e in seen if e[column] is not None]
    mean = math.fsum(known) / max(1, len(known))
    if statistic == "mean":
        return mean
    if target[column] is None:
        return math.nan
    if statistic == "difference":
        return target[column] - mean if known else 0.0
    return target[column] / mean if mean else 1.0


def lag_value(events, target, key, statistic, back=1, column=None, log=False):
    """One lag feature of one order."""
    past = history(events, target, key)
    if statistic == "position":
        value = float(len(past))
    elif statistic == "gap":
        value = min(float(target["when"] - past[-back]["when"]), 1e7) if len(past) >= back else 1e7
    elif statistic == "same":
        return float(
            len(past) >= back and target[column] is not None and past[-back][column] == target[column]
        )
    else:
        own = math.nan if target[column] is None else target[column]
        earlier = past[-back][column] if len(past) >= back else own
        earlier = math.nan if earlier is None else earlier
        if statistic == "difference":
            return own - earlier
        if statistic == "ratio":
            if len(past) < back:
                return math.nan if math.isnan(own) else 1.0
            return own / earlier if earlier != 0 else 1.0
        value = earlier
    return math.copysign(math.log1p(abs(value)), value) if log else value
