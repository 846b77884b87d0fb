"""A run description as a text with a reason in every line."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tsa_model.advice.plan import Plan, make_plan
from tsa_model.advice.profile import Events
from tsa_model.advice.roles import Roles, guess_roles
from tsa_model.settings.presets import MODEL_PRESETS
from tsa_model.settings.run import RunConfig

FIRST_LINE = "# Written by `tsa init`"
COMMENT_COLUMN = 44


def describe_events(
    events_path: str | Path,
    given: dict[str, str | None],
    name: str | None,
    delay_days: float | None,
    cores: int,
) -> str:
    """Look at events and write a first run description for them.

    Args:
        events_path: a file or folder.
        given: role → column, where a person named one.
        name: of the data set; None = after the file.
        delay_days: days until a label is known; None = guessed.
        cores: of this machine.

    Returns:
        The YAML text, which `RunConfig.load` accepts.

    Raises:
        ValueError: a role has no column, or the events are too short.
    """
    events = Events(events_path)
    roles = guess_roles(events, given)
    plan = make_plan(events, roles, delay_days, cores)
    stem = re.sub(r"[^\w-]+", "_", Path(events_path).name.split(".")[0]).strip("_") or "orders"
    text = "\n".join(
        [
            *_head(events_path, events, plan, cores),
            *_dataset(name or stem, events, roles, plan, delay_days is None),
            *_split(plan),
            *_model(roles),
            *_training(plan),
        ]
    )
    RunConfig.load(text + "\n")
    return text + "\n"


def _line(setting: str, reason: str, indent: int = 2) -> str:
    return f"{' ' * indent}{setting}".ljust(COMMENT_COLUMN) + f" # {reason}"


def _names(values: list[str]) -> str:
    return "[" + ", ".join(_quoted(value) for value in values) + "]"


def _quoted(name: str) -> str:
    plain = re.fullmatch(r"[A-Za-z_]\w*", name) and name.lower() not in (
        "yes",
        "no",
        "on",
        "off",
        "true",
        "null",
    )
    return name if plain else json.dumps(name)


def _head(path: str | Path, events: Events, plan: Plan, cores: int) -> list[str]:
    return [
        f"{FIRST_LINE} from {Path(path).name}: {events.n_rows:,} orders, {cores} cores.",
        "# GUESS marks what the values alone do not tell: look at those lines first. docs/TUNING.md says",
        "# what to try when the result is weak.",
        *(f"# WARNING: {warning}" for warning in plan.warnings),
    ]


def _dataset(name: str, events: Events, roles: Roles, plan: Plan, delay_is_guessed: bool) -> list[str]:
    lines = ["dataset:", _line(f"name: {_quoted(name)}", "run folders are called after it")]
    lines += [*_keys(events, roles), *_labels(roles, plan, delay_is_guessed), *_columns(roles, plan)]
    lines.append(_line("scale_quantile: 0.99", "a few huge numbers squeeze no others"))
    lines.append(_line(f"seq_len: {plan.seq_len}", "holds nine of ten customers' histories, at most 51"))
    rate = "null" if plan.rate is None else f"{plan.rate:g}"
    lines.append(_line(f"target_positive_rate: {rate}", f"leaves {plan.n_train:,} training rows"))
    lines += [f"  # left out: {_quoted(column)}: {reason}" for column, reason in roles.left_out.items()]
    return lines


def _keys(events: Events, roles: Roles) -> list[str]:
    """Lines of the roles, and how the file is read."""
    lines = []
    for role, column in (
        ("order_id", roles.order_id),
        ("customer_id", roles.customer),
        ("card_id", roles.second),
        ("order_time", roles.order_time),
        ("label", roles.label),
    ):
        if column is not None:
            lines.append(_line(f"{role}: {_quoted(column)}", roles.why.get(role, "given")))
    if roles.fold_keys:
        reason = "spellings of one key differ in capitals, spaces, hyphens"
        lines.append(_line(f"fold_keys: {_names(roles.fold_keys)}", reason))
    if roles.second is None:
        lines.append("  # card_id: no second key was found, so there is one history")
    if (delimiter := events.delimiter()) != ",":
        lines.append(_line(f"csv: {{delimiter: {json.dumps(delimiter)}}}", "as the file is written"))
    return lines


def _labels(roles: Roles, plan: Plan, delay_is_guessed: bool) -> list[str]:
    """Lines that say when labels are known, and which column is the amount."""
    reason = "GUESS: days until a label is known; ask who sets them" if delay_is_guessed else "given"
    lines = [_line(f"label_delay_days: {plan.delay_days:g}", reason)]
    lines.append(_line("known_label: true", "histories show the labels known by then"))
    if roles.amount is not None:
        lines.append(
            _line(f"amount: {_quoted(roles.amount)}", "GUESS by its name; for reports, windows and lags")
        )
    return lines


def _columns(roles: Roles, plan: Plan) -> list[str]:
    """Lines of the columns, and of those that are made of them."""
    why = roles.why
    windows, lags, logs, in_sequence, engineered = _derived(roles, plan)
    lines = ["  categorical:", *(_item(c, why) for c in roles.categorical), _item("hour", {"hour": "UTC"})]
    lines.append(_line("calendar: [hour]", "frauds have their hours"))
    if roles.may_be_missing:
        lines.append(_line(f"may_be_missing: {_names(roles.may_be_missing)}", "they have empty fields"))
    lines += ["  numerical:  # of every order in a history; few, because one token is made of all of them"]
    lines += [_item(c, why) for c in (*roles.numerical, *in_sequence)]
    lines += ["  engineered:  # of the current order; the trees and the wide head read them"]
    lines += [_item(c, why if c in roles.profile else {}) for c in engineered]
    lines += [
        "  windows:  # what the key did lately",
        *windows,
        "  lags:  # against the orders just before",
        *lags,
    ]
    if logs:
        lines.append(_line(f"logs: {_names(logs)}", "amounts differ by factors"))
    if roles.messy:
        lines.append(
            _line("fold_text: true", f"capitals, spaces, hyphens differ in {', '.join(roles.messy)}")
        )
    return lines


def _item(name: str, why: dict[str, str]) -> str:
    return _line(f"- {_quoted(name)}", why[name], 4) if name in why else f"    - {_quoted(name)}"


def _derived(roles: Roles, plan: Plan) -> tuple[list[str], list[str], list[str], list[str], list[str]]:
    """Lines of windows and lags, columns of `logs`, numerical and engineered columns made of them."""
    windows, lags, sequence, engineered = [], [], [], [*roles.numerical, *roles.profile]
    amount = roles.amount
    logs = [] if amount is None else [amount]
    sequence += [f"log_{column}" for column in logs]
    engineered += sequence
    for key, short in (("customer", "customer"), ("card", "second")):
        if key == "card" and roles.second is None:
            continue
        windows.append(_flow(name=f"{short}_count", key=key, statistic="count", days=[1, 7, 30]))
        engineered += [f"{short}_count_{days}d" for days in (1, 7, 30)]
        if amount is not None:
            windows.append(
                _flow(name=f"{short}_ratio", key=key, statistic="ratio", column=amount, days=[1, 7, 30])
            )
            engineered += [f"{short}_ratio_{days}d" for days in (1, 7, 30)]
            sequence += [f"{short}_ratio_30d"] if key == "customer" else []
        windows.append(_flow(name=f"{short}_risk", key=key, statistic="label_rate", days=[7, 30]))
        windows.append(_flow(name=f"{short}_known", key=key, statistic="label_count", days=[30]))
        engineered += [f"{short}_risk_7d", f"{short}_risk_30d", f"{short}_known_30d"]
        lags.append(_flow(name=f"{short}_gap", key=key, statistic="gap", back=[1, 2, 3], log=True))
        engineered += [f"{short}_gap_{back}" for back in (1, 2, 3)]
        sequence += [f"{short}_gap_1"] if key == "customer" else []
        lags.append(_flow(name=f"{short}_seen", key=key, statistic="position", log=True))
        engineered.append(f"{short}_seen")
    if amount is not None:
        lags.append(
            _flow(
                name="amount_back", key="customer", statistic="value", column=amount, back=[1, 2, 3], log=True
            )
        )
        lags.append(_flow(name="amount_ratio", key="customer", statistic="ratio", column=amount, back=[1, 2]))
        engineered += [f"amount_back_{back}" for back in (1, 2, 3)] + ["amount_ratio_1", "amount_ratio_2"]
    for column in [column for column in roles.categorical if column not in roles.steady][:6]:
        name = "same_" + re.sub(r"\W+", "_", column)
        lags.append(_flow(name=name, key="customer", statistic="same", column=column))
        engineered.append(f"{name}_1")
    return windows, lags, logs, sequence, engineered


def _flow(**fields: object) -> str:
    return "    - {" + ", ".join(f"{key}: {_value(value)}" for key, value in fields.items()) + "}"


def _value(value: object) -> str:
    if isinstance(value, str):
        return _quoted(value)
    return json.dumps(value)


def _split(plan: Plan) -> list[str]:
    reasons = {
        "train": "learns",
        "vali": "selects the epoch; begins a label delay after training ends",
        "cali": "calibrates",
        "test": "judges; begins a label delay after calibration ends",
    }
    lines = ["  split:"]
    for period, reason in reasons.items():
        n, frauds = plan.shares[period]
        start, end = (plan.split[f"{period}_{edge}"] for edge in ("start", "end"))
        lines.append(_line(f"{period}_start: {start:%Y-%m-%dT%H:%M:%SZ}", reason, 4))
        lines.append(_line(f"{period}_end: {end:%Y-%m-%dT%H:%M:%SZ}", f"{n:,} orders, {frauds:,} frauds", 4))
    return lines


REASONS = {
    "dim_embedding_table": "small enough for a CPU",
    "embedding_std": "a number's token shows its size from the first step on",
    "dim_attn_feedforward": "width of an expert",
    "num_heads": "",
    "n_layers_order": "two layers read a history",
    "n_layers_feature": "two layers read the current order",
    "num_experts": "",
    "moe_eval": "validates as it will score",
    "dropout": "against learning single orders by heart",
    "wide_hidden_dim": "the wide head reads thresholds that attention misses",
    "boosted_trees": "trees read the current order, the network the histories",
}


def _model(roles: Roles) -> list[str]:
    lines = ["model:  # the preset `recommended`, written out"]
    for name, value in MODEL_PRESETS["recommended"].items():
        lines.append(_line(f"{name}: {value}", REASONS[name]) if REASONS[name] else f"  {name}: {value}")
    if roles.second is None:
        lines.append(_line("sequences: single", "one key, one history"))
    return lines


def _training(plan: Plan) -> list[str]:
    return [
        "training:",
        _line(f"max_epochs: {plan.epochs}", f"some 1,600 steps over {plan.n_train:,} rows"),
        _line(f"batch_size: {plan.batch_size}", "by the number of rows"),
        _line("max_learning_rate: 0.003", "one-cycle rises to it and falls to nearly 0"),
        _line("gate_rate_factor: 0.05", "keeps both histories open while they learn"),
        _line("primary_metric: pr_auc", "frauds are few: average precision tells more than AUC"),
        _line("patience: 0", "one-cycle needs its last epochs"),
        _line("with_trees: average", "network and trees learn apart; validation weighs them"),
        _line("members: 1", "3 steadies the result and takes three times as long"),
    ]
