"""`tsa init`: what is found in orders of several kinds, and that a run could begin with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from commands.init import command
from tsa_model.advice.description import FIRST_LINE
from tsa_model.sequences import SequenceStore
from tsa_model.settings.presets import MODEL_PRESETS
from tsa_model.settings.run import RunConfig

N = 4_000


def card_payments() -> pd.DataFrame:
    """Payments in the manner of public card data: row numbers, text times, a clock that is years off,
    merchants in several spellings, personal columns, a leak."""
    rng = np.random.default_rng(3)
    seconds = np.sort(rng.integers(0, 100 * 86_400, N))
    who = rng.integers(0, 150, N)
    fraud = rng.random(N) < 0.05
    shop = [f"fraud_Kirlin, Sons-{k}" for k in rng.integers(0, 60, N)]
    spelled = [str.upper, str.strip, str.title, "  {} ".format]
    return pd.DataFrame(
        {
            "Unnamed: 0": np.arange(N),
            "trans_date_trans_time": (pd.Timestamp("2020-03-01") + pd.to_timedelta(seconds, unit="s")).astype(
                str
            ),
            "cc_num": 4_000_000_000_000 + who,
            "merchant": [spelled[k](name) for k, name in zip(rng.integers(0, 4, N), shop, strict=True)],
            "category": rng.choice([" grocery_pos", "Grocery-Pos", "travel", "misc"], N),
            "amt": np.where(fraud, rng.lognormal(6, 1, N), rng.lognormal(3, 1, N)).round(2),
            "gender": ["MF"[k % 2] for k in who],
            "street": [f"{k} Main Street" for k in who],
            "dob": [f"19{50 + k % 40}-01-02" for k in who],
            "city": [spelled[k](f"town_{n}") for k, n in zip(rng.integers(0, 4, N), who, strict=True)],
            "zip": 10_000 + 3 * who,
            "lat": 40 + who / 100,
            "city_pop": 1_000 + 17 * who,
            "merch_lat": (40 + who / 100 + rng.uniform(-1, 1, N)).round(6),
            "trans_num": [f"{k:08x}" for k in rng.permutation(N)],
            "unix_time": 1_362_096_000 + seconds,
            "chargeback_code": np.where(fraud, rng.integers(1, 4, N), 0),
            "is_fraud": fraud.astype(int),
        }
    )


def init(folder: Path, frame: pd.DataFrame, *options: str, suffix: str = "parquet") -> str:
    path = folder / f"orders.{suffix}"
    if suffix == "csv":
        # As pandas writes an index: a column without a name.
        frame.rename(columns={"Unnamed: 0": ""}).to_csv(path, index=False, sep=";")
    else:
        frame.to_parquet(path, index=False)
    words = ["--events", str(path), "--output", str(folder / "run.yaml"), *options]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    return (folder / "run.yaml").read_text()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("init")
    return folder, init(folder, card_payments())


def test_roles_are_found_by_name_and_value(written: tuple[Path, str]) -> None:
    data = RunConfig.load(written[1]).dataset
    assert data.order_id == "trans_num"
    assert (data.customer_id, data.card_id) == ("cc_num", "merchant")
    assert data.order_time == "trans_date_trans_time"
    assert data.label == "is_fraud"
    assert data.amount == "amt"
    assert data.categorical == ("category", "gender", "hour")
    assert data.fold_text
    assert data.fold_keys == ("merchant",)
    assert data.numerical == ("amt", "log_amt", "customer_ratio_30d", "customer_gap_1")
    assert {"city_pop", "merch_lat"} <= set(data.engineered)
    assert "same_gender_1" not in data.engineered
    assert {"customer_gap_1", "second_risk_30d", "amount_ratio_1", "same_category_1"} <= set(data.engineered)


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("street", "the same in every order of a customer"),
        ("dob", "a date"),
        ("unix_time", "the order time"),
        ('"Unnamed: 0"', "grows with the order time"),
        ("city", "the same in every order of a customer"),
        ("zip", "a place"),
        ("lat", "a place"),
        ("chargeback_code", "tells the label"),
    ],
)
def test_what_does_not_belong_is_left_out_with_its_reason(
    written: tuple[Path, str], column: str, reason: str
) -> None:
    (line,) = [line for line in written[1].splitlines() if f"left out: {column}:" in line]
    assert reason in line


def test_every_line_of_a_choice_has_a_reason_and_guesses_are_marked(written: tuple[Path, str]) -> None:
    text = written[1]
    assert text.startswith(FIRST_LINE)
    for setting in ("customer_id", "label_delay_days", "target_positive_rate", "seq_len", "max_epochs"):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{setting}:")]
        assert "# " in line, line
    assert "GUESS" in next(line for line in text.splitlines() if "customer_id:" in line)
    assert "GUESS" in next(line for line in text.splitlines() if "label_delay_days:" in line)


def test_periods_are_apart_by_the_label_delay(written: tuple[Path, str]) -> None:
    data = RunConfig.load(written[1]).dataset
    assert data.split.train_start.year == 2020
    assert data.label_delay_days == 7
    assert (data.split.vali_start - data.split.train_end).days == 7
    assert (data.split.test_start - data.split.cali_end).days == 7
    run = RunConfig.load(written[1])
    assert {name: getattr(run.model, name) for name in MODEL_PRESETS["recommended"]} == MODEL_PRESETS[
        "recommended"
    ]
    assert run.training.with_trees == "average"
    (line,) = [line for line in written[1].splitlines() if "with_trees:" in line]
    assert "validation weighs them" in line


def test_a_store_can_be_built_with_it(written: tuple[Path, str], tmp_path: Path) -> None:
    folder, text = written
    store = SequenceStore.build(folder / "orders.parquet", text, tmp_path / "store")
    assert len(store) == N
    vocabulary = store.preprocessing.categorical["category"]
    assert set(vocabulary.values) == {"grocery pos", "travel", "misc"}
    for period in ("train", "vali", "cali", "test"):
        assert len(np.unique(store.labels(period))) == 2


def test_a_csv_of_another_delimiter_is_described_as_it_is(tmp_path: Path) -> None:
    text = init(tmp_path, card_payments(), "--label-delay", "3", suffix="csv")
    run = RunConfig.load(text)
    assert run.dataset.csv.delimiter == ";"
    assert run.dataset.label_delay_days == 3
    SequenceStore.build(tmp_path / "orders.csv", text, tmp_path / "store")


def test_row_numbers_are_ids_only_where_there_is_no_other(tmp_path: Path) -> None:
    text = init(tmp_path, card_payments().drop(columns=["trans_num"]))
    assert RunConfig.load(text).dataset.order_id == "Unnamed: 0"


def test_one_key_gives_one_history(tmp_path: Path) -> None:
    text = init(tmp_path, card_payments().drop(columns=["merchant"]))
    run = RunConfig.load(text)
    assert run.dataset.card_id is None
    assert run.model.sequences == "single"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"is_fraud": 2}, "name the label with --label"),
        ({"trans_num": "x"}, "name the order's id with --order-id"),
        ({"cc_num": 1}, "name one with --customer"),
    ],
)
def test_what_cannot_be_found_is_asked_for(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "orders.parquet"
    frame = card_payments().drop(columns=["chargeback_code", "Unnamed: 0"]).assign(**change)
    frame.to_parquet(path, index=False)
    done = CliRunner().invoke(command, ["--events", str(path), "--output", str(tmp_path / "run.yaml")])
    assert done.exit_code == 1
    assert message in done.output
    assert not (tmp_path / "run.yaml").exists()


def test_a_file_that_is_not_its_own_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("dataset: {}\n")
    path = tmp_path / "orders.parquet"
    card_payments().to_parquet(path, index=False)
    done = CliRunner().invoke(command, ["--events", str(path), "--output", str(tmp_path / "run.yaml")])
    assert done.exit_code == 1
    assert "was not written by this program" in done.output
    assert (tmp_path / "run.yaml").read_text() == "dataset: {}\n"
