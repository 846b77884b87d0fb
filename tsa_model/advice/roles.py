"""Which column plays which role, guessed from names and values; every guess says its reason."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tsa_model.advice.profile import Column, Events, quoted

LABEL = re.compile(r"fraud|label|target|class|charge.?back", re.I)
IDENTITY = re.compile(r"(^|_)(id|no|num|number|key|uuid)$|trans|order|tx", re.I)
TIME = re.compile(r"time|date|moment|timestamp", re.I)
CUSTOMER = re.compile(r"cust|client|user|account|acct|member|buyer|cid|cc_?num|card", re.I)
SECOND = re.compile(r"card|terminal|merch|device|store|shop|payee|seller|ccid|beneficiary", re.I)
PLACE = re.compile(r"zip|post.?code|(^|_)(lat|lon|long|lng)(_|$)|latitude|longitude", re.I)
AMOUNT = re.compile(r"amount|amt|price|value|total|sum", re.I)
MOST_CATEGORIES = 1_000
FEW_NUMBERS = 12
"""A whole number with at most this many values is taken for a category."""
MOST_PROFILE_VALUES = 60
"""A text that never changes for a customer is kept with at most this many values: more would name people."""
FORETELLS = 0.999
"""A column whose values tell the label this well was most likely written after it."""


@dataclass
class Roles:
    """The guessed roles, and what to say of each."""

    order_id: str
    order_time: str
    moment: str
    """An expression of the order time in a query."""
    label: str
    customer: str
    second: str | None
    amount: str | None
    categorical: list[str] = field(default_factory=list)
    numerical: list[str] = field(default_factory=list)
    profile: list[str] = field(default_factory=list)
    """Numbers that say nothing in a history: the same for all orders of a customer, or of a place."""
    fold_keys: list[str] = field(default_factory=list)
    """Keys with values that differ only in case, spaces, hyphens and underscores."""
    may_be_missing: list[str] = field(default_factory=list)
    messy: list[str] = field(default_factory=list)
    """Categorical columns with values that differ only in case, spaces, hyphens and underscores."""
    steady: list[str] = field(default_factory=list)
    """Categorical columns that have one value for all orders of a customer."""
    why: dict[str, str] = field(default_factory=dict)
    """Role or column → the reason, which begins with GUESS where values alone do not tell."""
    left_out: dict[str, str] = field(default_factory=dict)


def guess_roles(events: Events, given: dict[str, str | None]) -> Roles:
    """Find every column's role.

    Args:
        events: the table.
        given: role (`label`, `order_id`, `order_time`, `customer_id`, `card_id`) → a column somebody named.

    Raises:
        ValueError: a named column is not there, or a role that a run needs has no column.
    """
    for role, name in given.items():
        if name is not None and name not in events.columns:
            raise ValueError(f"{role}: there is no column {name!r}; there are {', '.join(events.columns)}")
    why: dict[str, str] = {}
    label = given.get("label") or _find_label(events, why)
    taken = {label, *(name for name in given.values() if name)}
    order_time = given.get("order_time") or _find_time(events, taken, why)
    moment = events.moments(events.columns[order_time])
    if moment is None:
        raise ValueError(f"order_time: {order_time!r} holds no moments between 2000 and 2100")
    taken.add(order_time)
    order_id = given.get("order_id") or _find_id(events, taken, why)
    taken.add(order_id)
    customer, second = _find_keys(events, taken, given, why)
    roles = Roles(order_id, order_time, moment, label, customer, second, None, why=why)
    for column in events.columns.values():
        if column.name not in taken | {customer, second}:
            _sort_in(events, column, roles)
    if not roles.numerical:
        raise ValueError("no numerical column was found: a model needs at least one, such as an amount")
    named = [name for name in roles.numerical if AMOUNT.search(name)]
    roles.amount = named[0] if named else None
    for key in (customer, second):
        if key is None or events.columns[key].kind != "text":
            continue
        if events.folded(events.columns[key]) < events.columns[key].distinct:
            roles.fold_keys.append(key)
    return roles


def _find_label(events: Events, why: dict[str, str]) -> str:
    fitting = [c for c in events.columns.values() if _is_label(events, c)]
    named = [c for c in fitting if LABEL.search(c.name)]
    if not fitting:
        raise ValueError("no column has only 0, 1, -1 and null: name the label with --label")
    if len(named) == 1:
        why["label"] = "the only column of 0 and 1 that is called like a label"
        return named[0].name
    chosen = (named or fitting)[0]
    others = [c.name for c in (named or fitting)[1:]]
    why["label"] = f"GUESS: {'also possible: ' + ', '.join(others) if others else 'by its values alone'}"
    return chosen.name


def _is_label(events: Events, column: Column) -> bool:
    if column.kind == "flag":
        return column.distinct == 2
    if column.kind not in ("whole", "fraction") or column.distinct > 3:
        return False
    (fits,) = events.one(f"SELECT bool_and({quoted(column.name)} IN (0, 1, -1)) FROM events")
    (share,) = events.one(f"SELECT avg(({quoted(column.name)} = 1)::INT) FROM events")
    return bool(fits) and 0 < float(share or 0) < 0.5


def _find_time(events: Events, taken: set[str], why: dict[str, str]) -> str:
    fitting = [c for c in events.columns.values() if c.name not in taken and events.moments(c) is not None]
    if not fitting:
        raise ValueError("no column holds moments between 2000 and 2100: name one with --order-time")
    finest = max(c.distinct for c in fitting)
    # Written out, a moment cannot be off by years, as a number of seconds with another beginning can.
    best = max(
        (c for c in fitting if c.distinct >= 0.9 * finest),
        key=lambda c: (c.kind == "time", c.kind == "text", bool(TIME.search(c.name)), c.distinct),
    )
    others = [c.name for c in fitting if c.name != best.name and bool(TIME.search(c.name))]
    why["order_time"] = "the moments with the most different values"
    if others:
        why["order_time"] = f"GUESS: the finest moments; also possible: {', '.join(others)}"
    return best.name


def _find_id(events: Events, taken: set[str], why: dict[str, str]) -> str:
    fitting = []
    for column in events.columns.values():
        near = column.distinct > 0.9 * events.n_rows and column.missing == 0
        if column.name in taken or column.kind not in ("whole", "text") or not near:
            continue
        if events.moments(column) is not None:
            continue
        (distinct,) = events.one(f"SELECT count(DISTINCT {quoted(column.name)}) FROM events")
        if distinct == events.n_rows:
            fitting.append(column)
    if not fitting:
        raise ValueError("no column is different in every row: name the order's id with --order-id")
    own = [c for c in fitting if not events.counts_rows(c)] or fitting
    named = [c for c in own if IDENTITY.search(c.name)] or own
    why["order_id"] = "different in every row"
    if len(named) > 1:
        why["order_id"] = f"GUESS: different in every row, as {', '.join(c.name for c in named[1:])} is"
    return named[0].name


def _find_keys(
    events: Events, taken: set[str], given: dict[str, str | None], why: dict[str, str]
) -> tuple[str, str | None]:
    """The customer, and a second key with histories of its own."""
    able = []
    for column in events.columns.values():
        if column.name in taken or column.kind not in ("whole", "text") or PLACE.search(column.name):
            continue
        if not max(20, events.n_rows // 5_000) <= column.distinct <= events.n_rows // 2:
            continue
        mean, repeated = events.groups(column.name)
        if mean >= 2 and repeated > 0.3 and not events.is_date(column):
            able.append(column)
    customer = given.get("customer_id")
    if customer is None:
        named = [c for c in able if CUSTOMER.search(c.name)]
        if not named:
            raise ValueError("no column is called like a customer or a card: name one with --customer")
        # "customer" before "card": the first key is whom the orders belong to.
        chosen = min(named, key=lambda c: (bool(SECOND.search(c.name)), -c.distinct))
        customer = chosen.name
        mean, _ = events.groups(customer)
        why["customer_id"] = f"GUESS by its name; {mean:.0f} orders each on average"
    second = given.get("card_id")
    if second is None:
        others = [c for c in able if SECOND.search(c.name) and c.name != customer]
        others = [c for c in others if not events.depends_on(c.name, customer)]
        if others:
            second = max(others, key=lambda c: c.distinct).name
            mean, _ = events.groups(second)
            why["card_id"] = f"GUESS by its name; {mean:.0f} orders each on average"
    return customer, second


def _sort_in(events: Events, column: Column, roles: Roles) -> None:
    """Give one more column a role, or leave it out and say why."""
    name = column.name
    if column.distinct <= 1:
        roles.left_out[name] = "one value"
    elif _foretells(events, column, roles.label):
        roles.left_out[name] = (
            "GUESS: it tells the label almost surely, so it was most likely written after it"
        )
    elif events.is_date(column) or events.moments(column) is not None:
        roles.left_out[name] = "a date; the order time says when"
    elif column.kind in ("whole", "fraction"):
        _sort_in_number(events, column, roles)
    else:
        _sort_in_text(events, column, roles)


def _sort_in_text(events: Events, column: Column, roles: Roles) -> None:
    distinct = events.folded(column) if column.kind == "text" else column.distinct
    if distinct > MOST_CATEGORIES:
        roles.left_out[column.name] = f"{distinct:,} values, too many to learn each"
        return
    if events.depends_on(column.name, roles.customer):
        if distinct > MOST_PROFILE_VALUES:
            roles.left_out[column.name] = f"the same in every order of a customer, {distinct:,} values"
            return
        roles.steady.append(column.name)
    roles.categorical.append(column.name)
    examples = ", ".join(" ".join(text.split()) for text in column.examples[:2])
    roles.why[column.name] = f"{distinct} values, such as {examples}"
    if distinct < column.distinct:
        roles.messy.append(column.name)


def _sort_in_number(events: Events, column: Column, roles: Roles) -> None:
    name, q = column.name, quoted(column.name)
    (with_time,) = events.one(f"SELECT abs(corr({q}::DOUBLE, epoch({roles.moment}))) FROM events")
    if with_time is not None and with_time > 0.999:
        roles.left_out[name] = "it grows with the order time"
    elif column.kind == "whole" and column.distinct > 0.98 * events.n_rows:
        roles.left_out[name] = "different in every row, like an id"
    elif column.kind == "whole" and column.distinct <= FEW_NUMBERS:
        roles.categorical.append(name)
        roles.why[name] = f"GUESS: {column.distinct} whole numbers, taken for categories"
    else:
        steady = events.depends_on(name, roles.customer)
        if PLACE.search(name) and steady:
            roles.left_out[name] = "a place that is the same in every order of a customer"
            return
        (roles.profile if steady or PLACE.search(name) else roles.numerical).append(name)
        roles.why[name] = f"{column.low:g} to {column.high:g}"
        if steady:
            roles.why[name] += ", the same in every order of a customer"
        if column.missing:
            roles.may_be_missing.append(name)


def _foretells(events: Events, column: Column, label: str) -> bool:
    """Whether few values of a column say for every order whether it is a fraud."""
    if column.distinct > 50:
        return False
    fraud = f"({quoted(label)})::INT = 1"
    (right, base) = events.one(
        f"SELECT sum(greatest(f, n - f)), greatest(sum(f), sum(n - f)) FROM"
        f" (SELECT count(*) n, count(*) FILTER ({fraud}) f FROM events"
        f" WHERE ({quoted(label)})::INT IN (0, 1) GROUP BY {quoted(column.name)})"
    )
    total = events.n_rows
    missed = total - float(base)
    return missed > 0 and (float(right) - float(base)) / missed > FORETELLS
