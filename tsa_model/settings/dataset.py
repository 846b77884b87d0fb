"""Dataset description: which column plays which role, when labels become known, how time is split."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from tsa_model.settings.base import PathName, Settings
from tsa_model.settings.csv_format import MISSING_WORDS, CsvFormat
from tsa_model.settings.derived import Lag, Window
from tsa_model.settings.descriptions import read_description
from tsa_model.settings.drift import Drift
from tsa_model.settings.slices import Slices
from tsa_model.settings.stopping import Stopping

PERIODS = ("train", "vali", "cali", "test")
KNOWN_LABEL = "known_label"
REPORT_ROLES = {"amount", "slices"}
"""Roles on which neither the store nor the weights depend; no digest covers them."""


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, AfterValidator(_utc)]


class Split(Settings):
    """Half-open time windows [start, end) of order time, UTC; they may leave gaps but not overlap.

    A model is made at `test_start`: train, vali and cali have no targets whose label is known only later.
    A gap of the label delay before vali makes its figures as hard to reach as those of test.
    """

    train_start: Moment
    train_end: Moment
    vali_start: Moment
    vali_end: Moment
    cali_start: Moment
    cali_end: Moment
    test_start: Moment
    test_end: Moment

    @model_validator(mode="after")
    def _check(self) -> Split:
        order = [getattr(self, name) for name in type(self).model_fields]
        if order != sorted(order):
            raise ValueError(f"split boundaries must not go back in time: {[str(t) for t in order]}")
        return self

    def window(self, period: str) -> tuple[datetime, datetime]:
        """Return (start, end) of one of `PERIODS`."""
        return getattr(self, f"{period}_start"), getattr(self, f"{period}_end")

    def moved(self, by: timedelta) -> Split:
        """The same periods, all of them later by `by`: lengths and gaps stay as they are."""
        return Split(**{name: getattr(self, name) + by for name in type(self).model_fields})


class DatasetDescription(Settings):
    """The role of every column of an event log."""

    name: PathName
    """Run folders are called after it."""
    layout: Literal["events", "wide"] = "events"
    """`events`: one row per order. `wide`: one row per target order, its histories in columns of their own
    (TSA spec, section 12)."""
    order_id: str
    customer_id: str
    """CID key of the first history; in the wide layout the suffix of its columns, "cid"."""
    card_id: str | None = None
    """CCID key of the second history; None = a data set with one key. Null in a row = no card history."""
    order_time: str
    """UTC timestamp, date, or a number of seconds since 1970-01-01; docs/SEQUENCES.md has every form."""
    label: str
    """0 genuine, 1 fraud; null or -1 = not yet known: history, never a target."""
    label_time: str | None = None
    """Moment at which an order's label became known, in any form of `order_time` and never before it; null
    in a row = `label_delay_days` after the order. None = that of every order."""
    categorical: tuple[str, ...]
    numerical: tuple[str, ...]
    engineered: tuple[str, ...] = ()
    amount: str | None = None
    """The numerical or engineered column with an order's value in money; None = reports show no amounts.
    A role for reports: neither the store nor the weights depend on it."""
    slices: Slices = Slices()
    """Groups of orders that are judged one by one; for reports and promotions, as the amount is."""
    stopping: Stopping | None = None
    """Columns of a policy that stopped orders, whose labels nobody knows; None = nothing was stopped."""
    numeric_categorical: tuple[str, ...] = ()
    """Categories written as numbers, of which the whole part counts: "3.0" is "3"."""
    float_categorical: tuple[str, ...] = ()
    """Categories written as numbers: "0.0" is "0", "1.5" stays."""
    may_be_missing: tuple[str, ...] = ()
    """Numerical and engineered columns where null or NaN stands for the training median; elsewhere it is an
    error. A missing category always stands for the most frequent one."""
    calendar: tuple[Literal["hour", "weekday", "weekend", "night"], ...] = ()
    """Columns derived from the order time, for any role (UTC; weekday 0 = Monday, night = hour ≤ 6)."""
    windows: tuple[Window, ...] = ()
    """Columns derived from the earlier orders of a key, for a numerical or engineered role."""
    lags: tuple[Lag, ...] = ()
    """Columns about a key's earlier orders one by one, for a numerical or engineered role."""
    logs: tuple[str, ...] = ()
    """Raw numerical columns of which a column `log_{name}`, log(1 + |x|) with the sign of x, is made, for a
    numerical or engineered role."""
    known_label: bool = False
    """Add the label of every earlier order, as far as it was known at the target's moment (fraud / genuine /
    not yet known), as the last categorical sequence feature."""
    label_delay_days: NonNegativeFloat = 0.0
    """Days until an order's label becomes known, unless `label_time` says when."""
    seq_len: PositiveInt = 51
    """L, orders per sequence, the current one included."""
    time_cap: Literal["element", "legacy"] = "element"
    """Times above 10^7 s: capped one by one, or (`legacy`) the whole sequence's times set to 10^7."""
    min_count: PositiveInt = 2
    """Values seen less often in the training period share the feature's unknown index, which trains it."""
    max_values: PositiveInt = 100_000
    """Largest vocabulary of one categorical feature; more is an error."""
    fold_text: bool = False
    """Categories that differ only in case, spaces, hyphens and underscores are one category."""
    fold_keys: tuple[str, ...] = ()
    """Columns of keys (`customer_id`, `card_id`) of which texts that differ only so are one key."""
    scale_quantile: float = Field(default=1.0, gt=0.5, le=1)
    """Numbers are scaled so that this quantile of the training period becomes 1; with 1 the largest does.
    Below 1, a few huge values no longer squeeze all others together near 0: they lie beyond 1 instead."""
    target_positive_rate: float | None = Field(default=None, gt=0, lt=1)
    """Negatives of the training targets are downsampled to this rate; None keeps all."""
    sampling_seed: NonNegativeInt = 0
    on_bad_rows: Literal["stop", "quarantine"] = "stop"
    """`quarantine` moves rows that cannot be used to the store's `quarantine.csv`, with reasons."""
    max_bad_share: float = Field(default=0.01, ge=0, le=1)
    """With `quarantine`, a larger share of bad rows stops all the same."""
    csv: CsvFormat = CsvFormat()
    """How the fields of CSV files are separated and their numbers written."""
    missing_words: tuple[str, ...] = MISSING_WORDS
    """Words that stand for no key where an id should be, in any case; the empty text always does."""
    drift: Drift = Drift()
    split: Split

    @model_serializer(mode="wrap")
    def _leave_out_how_files_are_read(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A store says how files are written only where it was set, and so which lags and logs there are."""
        content = dump(self)
        late = ("csv", "missing_words", "lags", "logs", "fold_text", "fold_keys", "stopping", "label_time")
        for name in late:
            if getattr(self, name) == type(self).model_fields[name].default:
                content.pop(name, None)
        return content

    @model_validator(mode="after")
    def _check(self) -> DatasetDescription:
        keys = [self.order_id, self.customer_id, self.card_id, self.order_time, *self.label_columns]
        named = [column for column in keys if column is not None]
        if len(set(named)) < len(named):
            raise ValueError(f"one column has two of the roles id, keys, time and label: {named}")
        for role in ("categorical", "numerical", "engineered"):
            columns = getattr(self, role)
            if len(set(columns)) < len(columns):
                raise ValueError(f"{role} names a column twice: {list(columns)}")
            for column in set(self.label_columns) & set(columns):
                raise ValueError(f"{role} contains the label column {column!r}: set known_label instead")
        if not self.categorical and not self.known_label:
            raise ValueError("categorical is empty: the model needs at least one categorical feature")
        if not self.numerical:
            raise ValueError("numerical is empty: the model needs at least one numerical feature")
        if self.layout == "wide" and (self.known_label or self.derived):
            raise ValueError("the wide layout knows no labels or keys of earlier orders: no derived columns")
        if self.layout == "wide" and self.label_time is not None:
            raise ValueError(
                f"label_time names {self.label_time!r}, but rows of the wide layout do not say when labels "
                "became known: leave label_time out and set label_delay_days"
            )
        if self.known_label and KNOWN_LABEL in self.categorical:
            raise ValueError(f"known_label adds the feature {KNOWN_LABEL!r}, which categorical names too")
        strange = [key for key in self.fold_keys if key not in (self.customer_id, self.card_id)]
        if strange or (self.fold_keys and self.layout == "wide"):
            raise ValueError(
                f"fold_keys names {strange or list(self.fold_keys)}, which are no keys of events"
            )
        self._check_windows()
        self._check_markers()
        self._check_amount()
        if self.stopping is not None:
            self.stopping.check(self.layout, (*named, *self.categorical, *self.numerical, *self.engineered))
        self.slices.chosen(self.card_id is not None, self.amount is not None)
        self.slices.check_columns(self.layout, (self.order_id, self.order_time, *self.label_columns))
        return self

    def _check_amount(self) -> None:
        known = [column for column in (*self.numerical, *self.engineered) if column not in self.derived]
        if self.amount is not None and self.amount not in known:
            raise ValueError(
                f"amount names {self.amount!r}, which is no numerical or engineered column that is read: "
                f"{list(dict.fromkeys(known))}"
            )

    def _check_markers(self) -> None:
        """Refuse a property of a column that does not exist, most likely a slip of the pen."""
        for name, known in {
            "may_be_missing": self.raw_numerical,
            "numeric_categorical": self.raw_categorical,
            "float_categorical": self.raw_categorical,
        }.items():
            strange = sorted(set(getattr(self, name)) - set(known))
            if strange:
                raise ValueError(f"{name} names {strange}, which the features do not: {list(known)}")

    def _check_windows(self) -> None:
        names = [*self._of_histories, *self.log_columns]
        if len(set(names)) < len(names) or set(names) & set(self.calendar):
            raise ValueError(f"two derived columns have the same name: {names + list(self.calendar)}")
        as_text = set(names) & set(self.categorical)
        if as_text:
            raise ValueError(f"window columns are numbers, not categories: {sorted(as_text)}")
        both: tuple[Window | Lag, ...] = (*self.windows, *self.lags)
        for each in both:
            kind = type(each).__name__.lower()
            if each.key == "card" and self.card_id is None:
                raise ValueError(f"{kind} {each.name!r} is over cards, but card_id is not set")
            if each.column in (*self.label_columns, *self.derived):
                reads = "averages" if kind == "window" else "reads"
                raise ValueError(
                    f"{kind} {each.name!r} {reads} {each.column!r}: take a raw column, or label_rate"
                )
            if each.statistic == "same" and each.column not in self.categorical:
                raise ValueError(f"lag {each.name!r}: {each.column!r} is none of the categorical features")
        for column in self.logs:
            if column in (*self.label_columns, *self.derived):
                raise ValueError(f"logs names {column!r}: take a raw numerical column")

    @property
    def label_columns(self) -> tuple[str, ...]:
        """The label's column and, where there is one, that of the moment at which it became known."""
        return (self.label,) if self.label_time is None else (self.label, self.label_time)

    @property
    def derived(self) -> frozenset[str]:
        """Names of the columns that are computed instead of read."""
        return frozenset(self.calendar).union(self._of_histories, self.log_columns)

    @property
    def _of_histories(self) -> list[str]:
        """Names of the columns made of earlier orders."""
        of_windows = [column for window in self.windows for column in window.columns()]
        return of_windows + [column for lag in self.lags for column in lag.columns()]

    @property
    def log_columns(self) -> dict[str, str]:
        """Name of each column of `logs` → the raw column it is made of."""
        return {f"log_{column}": column for column in self.logs}

    @property
    def raw_categorical(self) -> tuple[str, ...]:
        """Categorical columns to read, without the derived ones."""
        return tuple(column for column in self.categorical if column not in self.derived)

    @property
    def raw_numerical(self) -> tuple[str, ...]:
        """Columns to read as numbers: numerical, engineered, what derived ones are made of; each once."""
        wanted = [*self.numerical, *self.engineered]
        wanted += [window.column for window in self.windows if window.column is not None]
        wanted += [lag.column for lag in self.lags if lag.column is not None and lag.statistic != "same"]
        wanted += [*self.logs, *(self.stopping.columns() if self.stopping else ())]
        return tuple(dict.fromkeys(column for column in wanted if column not in self.derived))

    def as_prepared(self) -> dict[str, Any]:
        """What a store is made by, as JSON values: everything but the roles that only reports use."""
        return self.model_dump(mode="json", exclude=REPORT_ROLES)

    @classmethod
    def load(cls, source: DatasetDescription | dict[str, Any] | str | Path) -> DatasetDescription:
        """Return the description in `source`; of a whole run description its `dataset` section.

        Args:
            source: a description, its dictionary, a shipped name, a YAML/JSON path, or the text itself.
        """
        if isinstance(source, DatasetDescription):
            return source
        content = source if isinstance(source, dict) else read_description(source)
        return cls.model_validate(content.get("dataset", content))
