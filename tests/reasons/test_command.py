"""`tsa explain` on a real model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.chain import Chain
from support.command_line import tsa


@pytest.fixture
def options(chain: Chain) -> tuple[str | Path, ...]:
    return "--model", chain.places.scores / "model", "--events", chain.places.events / "events.parquet"


def scored(chain: Chain) -> pd.DataFrame:
    """The test period's score file, joined with the raw orders."""
    scores = pd.read_parquet(chain.places.scores / "scores.parquet", columns=["order_id", "score"])
    return scores.merge(chain.orders, on="order_id")


def busiest(chain: Chain) -> pd.Series:
    """An order of the test period whose card has the most orders."""
    table = scored(chain)
    per_card = chain.orders.groupby("card_id").size()
    return table.loc[table["card_id"].map(per_card).fillna(0).astype(int).idxmax()]


def test_json_says_what_the_score_file_scored(
    chain: Chain, options: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    order = busiest(chain)
    assert tsa("explain", *options, "--order", int(order["order_id"]), "--json") == 0
    printed = capsys.readouterr().out
    found = json.loads(printed)
    assert found["order_id"] == order["order_id"]
    assert found["score"] == pytest.approx(order["score"], abs=1e-6)
    whole = found["logit"] - found["background_logit"]
    assert sum(each["contribution"] for each in found["reasons"] if each["level"] == "a") == pytest.approx(
        whole, abs=1e-5
    )
    assert sum(each["contribution"] for each in found["parts"]) == pytest.approx(whole, abs=1e-5)
    assert all(each["words"] for each in found["reasons"])
    for key, column in (("customer", "customer_id"), ("card", "card_id")):
        same = chain.orders[chain.orders[column] == order[column]]
        earlier = same[same["order_time"] < order["order_time"]]
        earlier = earlier.sort_values(["order_time", "order_id"], ascending=False)["order_id"].tolist()
        parts = [each for each in found["parts"] if each["side"] == key and each["orders_back"]]
        assert [each for part in parts for each in part["order_ids"]] == earlier[
            : chain.run.dataset.seq_len - 1
        ]
    assert tsa("explain", *options, "--order", int(order["order_id"]), "--json") == 0
    assert capsys.readouterr().out == printed


def test_text_names_the_sides(
    chain: Chain, options: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tsa("explain", *options, "--order", int(busiest(chain)["order_id"])) == 0
    text = capsys.readouterr().out
    for words in ("the order itself", "the customer's history", "the card's history", "raises the score"):
        assert words in text


def test_an_order_that_is_not_there_is_named(
    options: tuple[str | Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in ("12345678", "abc", "9" * 30):
        assert tsa("explain", *options, "--order", wrong) == 1
        assert f"there is no order '{wrong}' among the 3,000 orders" in capsys.readouterr().err


def test_a_folder_of_a_former_version_is_told_from_a_damaged_one(
    chain: Chain, options: tuple[str | Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(chain.places.scores / "model", model)
    (model / "reasons.json").unlink()
    assert tsa("explain", "--model", model, *options[2:], "--order", 1) == 1
    assert "reasons.json is missing" in capsys.readouterr().err
