"""Dataset and run descriptions: what is shipped loads, and mistakes are refused by name."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import yaml
from pydantic import ValidationError
from support.event_oracle import description

from tsa_model.settings.dataset import DatasetDescription
from tsa_model.settings.descriptions import shipped_configs
from tsa_model.settings.run import RunConfig


@pytest.mark.parametrize("name", ["demo", "handbook"])
def test_shipped_descriptions_load_by_name_path_and_text(name):
    path = shipped_configs()[name]
    run = RunConfig.load(name)
    assert run == RunConfig.load(path) == RunConfig.load(str(path)) == RunConfig.load(path.read_text())
    assert run == RunConfig.load(run) == RunConfig.load(run.model_dump_json())
    assert DatasetDescription.load(name) == run.dataset
    assert run.dataset.name == name


def test_a_description_survives_json():
    one = DatasetDescription.load(description())
    assert DatasetDescription.load(one.model_dump(mode="json")) == one


def test_the_amount_is_for_reports_and_no_part_of_what_a_store_is_made_by():
    one = DatasetDescription.load(description())
    two = one.changed(amount=one.numerical[0])
    assert two.model_dump(mode="json")["amount"] == one.numerical[0]
    assert two.as_prepared() == one.as_prepared()
    assert one.changed(**two.as_prepared()) == one


def test_moments_without_zone_are_utc_and_others_become_it():
    content = description()
    content["split"] |= {"train_start": "2024-02-29 12:00", "test_end": "2024-03-18T01:00:00+02:00"}
    split = DatasetDescription.load(content).split
    assert split.train_start == datetime(2024, 2, 29, 12, tzinfo=UTC)
    assert split.window("test")[1] == datetime(2024, 3, 17, 23, tzinfo=UTC)


def test_text_without_a_description_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"no description 'demoo': neither a file nor one of .*demo.*handbook"
    ):
        RunConfig.load("demoo")
    with pytest.raises(ValueError, match="not valid YAML"):
        RunConfig.load("dataset: [\n1")
    path = tmp_path / "list.yaml"
    path.write_text("- 1\n- 2\n")
    with pytest.raises(ValueError, match=r"list.yaml is not a mapping of settings but list"):
        RunConfig.load(path)


LAG = {"name": "g", "key": "card", "statistic": "gap"}
WINDOW = {"name": "n", "key": "card", "statistic": "count", "days": [1]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "Extra inputs are not permitted"),
        ({"card_id": "who"}, "two of the roles"),
        ({"categorical": ["shop", "shop"]}, "names a column twice"),
        ({"numerical": ["fraud"]}, "contains the label column 'fraud'"),
        ({"categorical": []}, "at least one categorical feature"),
        ({"numerical": []}, "at least one numerical feature"),
        ({"windows": [WINDOW, WINDOW]}, "two derived columns have the same name"),
        ({"windows": [WINDOW], "categorical": ["n_1d"]}, "window columns are numbers"),
        ({"windows": [WINDOW], "card_id": None}, "is over cards, but card_id is not set"),
        (
            {"windows": [WINDOW | {"statistic": "mean"}]},
            "mean, ratio, difference and fraud_mean need a column",
        ),
        (
            {"windows": [WINDOW | {"statistic": "fraud_mean"}]},
            "with column=None; mean, ratio, difference and",
        ),
        (
            {"windows": [WINDOW | {"statistic": "fraud_mean", "column": "fraud"}]},
            "averages 'fraud': take a raw column",
        ),
        ({"windows": [WINDOW | {"column": "amount"}]}, "the others take none"),
        ({"windows": [WINDOW | {"days": [0]}]}, "greater than 0"),
        ({"lags": [LAG, LAG]}, "two derived columns have the same name"),
        ({"lags": [LAG], "card_id": None}, "is over cards, but card_id is not set"),
        ({"lags": [LAG | {"column": "amount"}]}, "gap and position take no column"),
        ({"lags": [LAG | {"statistic": "value"}]}, "the others need one"),
        ({"lags": [LAG | {"statistic": "same", "column": "amount"}]}, "none of the categorical features"),
        ({"lags": [LAG | {"statistic": "ratio", "column": "fraud"}]}, "take a raw column"),
        ({"lags": [LAG | {"statistic": "position", "back": [2]}]}, "it takes none"),
        ({"lags": [LAG | {"statistic": "same", "column": "shop", "log": True}]}, "log is for gap"),
        ({"logs": ["fraud"]}, "take a raw numerical column"),
        ({"lags": [LAG], "categorical": ["g_1"]}, "window columns are numbers"),
        (
            {"windows": [WINDOW | {"statistic": "mean", "column": "fraud"}]},
            "take a raw column, or label_rate",
        ),
        (
            {"windows": [WINDOW | {"statistic": "mean", "column": "hour"}], "calendar": ["hour"]},
            "a raw column",
        ),
        ({"may_be_missing": ["shop"]}, "may_be_missing names .'shop'., which the features do not"),
        ({"fold_keys": ["shop"]}, "fold_keys names .'shop'., which are no keys of events"),
        ({"numeric_categorical": ["shops"]}, "numeric_categorical names .'shops'."),
        ({"amount": "amuont"}, "amount names 'amuont', which is no numerical or engineered column"),
        ({"amount": "shop"}, "amount names 'shop'"),
        (
            {"windows": [WINDOW], "engineered": ["n_1d"], "amount": "n_1d"},
            "amount names 'n_1d', which is no numerical or engineered column that is read",
        ),
        ({"known_label": True, "categorical": ["known_label"]}, "adds the feature 'known_label'"),
        ({"layout": "wide", "known_label": True}, "no derived columns"),
        ({"target_positive_rate": 1.0}, "less than 1"),
    ],
)
def test_mistakes_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        DatasetDescription.load(description(**change))


def test_a_split_must_go_forward_in_time():
    content = description()
    content["split"]["vali_start"] = "2024-03-01"
    with pytest.raises(ValidationError, match="must not go back in time"):
        DatasetDescription.load(content)


def test_columns_to_read_are_the_raw_ones_each_once():
    windows = [{"name": "m", "key": "customer", "statistic": "mean", "column": "price", "days": [1, 0.5]}]
    content = description(
        windows=windows,
        calendar=["hour"],
        categorical=["shop", "hour"],
        engineered=["m_1d", "m_0.5d", "amount"],
    )
    one = DatasetDescription.load(content)
    assert one.derived == {"hour", "m_1d", "m_0.5d"}
    assert one.raw_categorical == ("shop",)
    assert one.raw_numerical == ("amount", "items", "price")


def test_yaml_dates_are_moments():
    text = yaml.safe_dump(description() | {"split": description()["split"]})
    assert DatasetDescription.load(text) == DatasetDescription.load(description())


@pytest.mark.parametrize(
    "name", ["../../evil", "EU/shop", "x" * 300, "", ".", "..", ".hidden", "shop ", "a\\b", "a\nb"]
)
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    content = RunConfig.load("demo").dataset.model_dump()
    with pytest.raises(ValueError, match="folders are called after it"):
        DatasetDescription.load({**content, "name": name})


@pytest.mark.parametrize("name", ["shop", "Läden EU", "shop-2.1_x", "2025"])
def test_ordinary_names_are_taken(name: str) -> None:
    content = RunConfig.load("demo").dataset.model_dump()
    assert DatasetDescription.load({**content, "name": name}).name == name
