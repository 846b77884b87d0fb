"""`python -m tsa_model.score`: the score file again, outside any pipeline, and for orders never seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from support.command_line import tsa

from tsa_model.events.quarantine import QUARANTINE
from tsa_model.export.description import OnnxDescription, write_description
from tsa_model.export.file_names import DATASET_FILE
from tsa_model.export.session import ScoringSession, SessionSettings
from tsa_model.files import sha256
from tsa_model.sealed import read_document


@pytest.fixture(scope="module")
def events(scored, tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "orders.parquet"
    scored.events.to_parquet(path)
    return path


def score(*options) -> int:
    return tsa("score", *options)


def test_it_reproduces_the_score_file(scored, events, tmp_path, capsys) -> None:
    assert score("--model", scored.scores / "model", "--events", events, "--output", tmp_path / "again") == 0
    for name in ("score_file.csv", "tag_file.csv", "scores.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (scored.scores / name).read_bytes(), name
    assert "orders scored" in capsys.readouterr().out


def test_the_folder_may_be_moved(scored, events, tmp_path) -> None:
    shutil.copytree(scored.scores / "model", tmp_path / "elsewhere")
    assert score("--model", tmp_path / "elsewhere", "--events", events, "--output", tmp_path / "out") == 0
    assert (tmp_path / "out" / "score_file.csv").read_bytes() == (
        scored.scores / "score_file.csv"
    ).read_bytes()


def test_orders_never_seen_are_scored_from_their_histories(scored, tmp_path) -> None:
    last = scored.events.sort_values(["order_time", "order_id"]).tail(3)
    new = last.assign(
        order_id=scored.events["order_id"].max() + np.arange(1, 4),
        order_time=last["order_time"] + 86_400,
        label=pd.array([None] * 3, dtype="Int8"),
        device=["a device nobody had", *last["device"][1:]],
    )
    everything = pd.concat([scored.events.astype({"label": "Int8"}), new], ignore_index=True)
    everything.to_parquet(tmp_path / "orders.parquet")
    since = pd.to_datetime(new["order_time"].min(), unit="s").isoformat()
    status = score(
        *("--model", scored.scores / "model", "--events", tmp_path / "orders.parquet"),
        *("--orders", "all", "--since", since, "--output", tmp_path / "out"),
    )
    assert status == 0
    table = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert set(table["order_id"]) == set(new["order_id"])
    assert table["label"].isna().all()
    assert not (tmp_path / "out" / "tag_file.csv").exists()  # a tag would have to be made up


@pytest.mark.slow
def test_killed_and_started_again_it_writes_the_same_bytes(scored, events, tmp_path) -> None:
    command = [
        *(sys.executable, "-m", "tsa_model.score", "--model", str(scored.scores / "model")),
        *("--events", str(events), "--orders", "all", "--output"),
    ]
    repository = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    subprocess.run([*command, tmp_path / "undisturbed"], check=True, env=environment)
    for stage in ("reading", "scoring"):
        output = tmp_path / stage / "scores"
        process = subprocess.Popen(
            [*command, output], env=environment, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        if stage == "reading":
            while not any(output.parent.glob(".scores.tsa-*")):
                assert process.poll() is None
        else:
            assert process.stderr.read(7) == "scoring"
        process.kill()
        process.communicate()
        assert process.returncode == -9
        assert not output.exists()
        subprocess.run([*command, output], check=True, env=environment)
        for name in ("score_file.csv", "scores.parquet", "manifest.json"):
            assert (output / name).read_bytes() == (tmp_path / "undisturbed" / name).read_bytes(), name


def test_rows_that_cannot_be_used_are_kept_aside_and_listed(scored, tmp_path) -> None:
    model = shutil.copytree(scored.scores / "model", tmp_path / "model")
    dataset = json.loads((model / DATASET_FILE).read_text())
    (model / DATASET_FILE).write_text(json.dumps(dataset | {"on_bad_rows": "quarantine"}))
    write_description(read_document(model / "onnx.json", OnnxDescription, "a description"), model)
    events = scored.events.copy()
    events.loc[0, "amount"] = np.inf
    events.to_parquet(tmp_path / "orders.parquet")
    out = tmp_path / "out"
    assert score("--model", model, "--events", tmp_path / "orders.parquet", "--output", out) == 0
    listed = json.loads((out / "manifest.json").read_text())["files"]
    assert listed[QUARANTINE]["sha256"] == sha256(out / QUARANTINE)
    assert str(events.loc[0, "order_id"]) in (out / QUARANTINE).read_text()


def test_nothing_to_score_is_said(scored, events, tmp_path, capsys) -> None:
    options = ("--model", scored.scores / "model", "--events", events, "--output", tmp_path / "out")
    assert score(*options, "--since", "2030-01-01") == 1
    assert "no order to score among the 3000 orders" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_events_without_a_column_are_refused_by_name(scored, tmp_path, capsys) -> None:
    scored.events.drop(columns="device").to_parquet(tmp_path / "orders.parquet")
    options = ("--events", tmp_path / "orders.parquet", "--output", tmp_path / "out")
    assert score("--model", scored.scores / "model", *options) == 1
    assert "device" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_model_is_refused(events, tmp_path, capsys) -> None:
    assert score("--model", tmp_path, "--events", events, "--output", tmp_path / "out") == 1
    assert "not the folder of an exported model" in capsys.readouterr().err


def test_a_model_server_gets_what_it_needs(scored) -> None:
    folder = scored.scores / "model"
    service = yaml.safe_load((folder / "inference_service.yaml").read_text())
    assert service["spec"]["predictor"]["model"]["protocolVersion"] == "v2"
    assert service["metadata"]["annotations"]["tsa-pipeline/verdict-id"] == scored.verdict.verdict_id
    config = (folder / "repository" / "tsa" / "config.pbtxt").read_text()
    session = ScoringSession(folder / "repository" / "tsa" / "1" / "model.onnx", SessionSettings())
    for name in session.input_names + session.output_names:
        assert f'name: "{name}"' in config
    assert config.count("{") == config.count("}")
    assert config.count("[") == config.count("]")


def test_the_example_request_gets_the_example_response(scored) -> None:
    folder = scored.scores / "model"
    request = json.loads((folder / "example_request.json").read_text())
    response = json.loads((folder / "example_response.json").read_text())
    types = {"INT64": np.int64, "FP32": np.float32, "BOOL": np.bool_}
    batch = {
        each["name"]: np.array(each["data"], types[each["datatype"]]).reshape(each["shape"])
        for each in request["inputs"]
    }
    session = ScoringSession(folder / "repository" / "tsa" / "1" / "model.onnx", SessionSettings())
    assert set(batch) == set(session.input_names)
    np.testing.assert_allclose(session.run(batch)["score"], response["outputs"][0]["data"], rtol=0, atol=1e-6)


def last_day(scored, tmp_path):
    """The orders of the last day alone, and all earlier ones."""
    time = scored.events["order_time"]
    is_new = time >= time.max() - 86_400
    scored.events[is_new].to_parquet(tmp_path / "today.parquet")
    scored.events[~is_new].to_parquet(tmp_path / "earlier.parquet")
    return int(is_new.sum())


def test_orders_without_their_histories_are_refused_with_the_way_on(scored, tmp_path, capsys) -> None:
    last_day(scored, tmp_path)
    options = ("--model", scored.scores / "model", "--events", tmp_path / "today.parquet", "--orders", "all")
    assert score(*options, "--output", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "earlier orders of the same customer on average, those of the training period had" in said
    assert "--history FILE" in said
    assert not (tmp_path / "out").exists()
    assert score(*options, "--output", tmp_path / "out", "--allow-short-histories") == 0
    assert "Warning: " in capsys.readouterr().err


def test_histories_from_another_file_give_the_same_scores(scored, events, tmp_path) -> None:
    n_new = last_day(scored, tmp_path)
    options = ("--model", scored.scores / "model", "--orders", "all")
    apart = ("--events", tmp_path / "today.parquet", "--history", tmp_path / "earlier.parquet")
    assert score(*options, *apart, "--output", tmp_path / "apart") == 0
    assert score(*options, "--events", events, "--output", tmp_path / "together") == 0
    found = pd.read_parquet(tmp_path / "apart" / "scores.parquet")
    assert len(found) == n_new
    together = pd.read_parquet(tmp_path / "together" / "scores.parquet")
    pd.testing.assert_frame_equal(found, together.tail(n_new).reset_index(drop=True))


def test_categories_that_training_never_saw_are_refused(scored, tmp_path, capsys) -> None:
    scored.events.assign(device=scored.events["device"] + " v2").to_parquet(tmp_path / "orders.parquet")
    options = ("--model", scored.scores / "model", "--events", tmp_path / "orders.parquet")
    assert score(*options, "--output", tmp_path / "out") == 1
    assert "'device'" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["mine", "mine/out", "model", "notes.txt", "link", "."])
def test_no_output_destroys_what_was_there(scored, tmp_path, monkeypatch, capsys, output) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(scored.scores / "model", tmp_path / "model")
    (tmp_path / "mine").mkdir()
    scored.events.to_parquet(tmp_path / "mine" / "orders.parquet")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "link").symlink_to("mine")
    before = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))}
    assert score("--model", "model", "--events", "mine", "--output", output) != 0
    assert output in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*"))} == before


def without_labels(scored, tmp_path) -> tuple:
    """Today's orders without the column of labels; yesterday's with it, and the scores with all labels."""
    last_day(scored, tmp_path)
    today = pd.read_parquet(tmp_path / "today.parquet")
    today.drop(columns="label").to_parquet(tmp_path / "unlabelled.parquet")
    options = (
        "--model",
        scored.scores / "model",
        "--orders",
        "all",
        "--history",
        tmp_path / "earlier.parquet",
    )
    assert score(*options, "--events", tmp_path / "today.parquet", "--output", tmp_path / "labelled") == 0
    return options, pd.read_parquet(tmp_path / "labelled" / "scores.parquet")


@pytest.mark.parametrize("written", ["unlabelled.parquet", "unlabelled.csv"])
def test_orders_to_score_need_no_column_of_labels(scored, tmp_path, written) -> None:
    options, labelled = without_labels(scored, tmp_path)
    pd.read_parquet(tmp_path / "unlabelled.parquet").to_csv(tmp_path / "unlabelled.csv", index=False)
    earlier = pd.read_parquet(tmp_path / "earlier.parquet")
    earlier.to_csv(tmp_path / "earlier.csv", index=False)
    earlier = tmp_path / f"earlier{Path(written).suffix}"
    given = ("--events", tmp_path / written, "--history", earlier)
    assert score(*options[:4], *given, "--output", tmp_path / "out") == 0
    found = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert found["label"].isna().all()
    assert not (tmp_path / "out" / "tag_file.csv").exists()
    assert found["order_id"].tolist() == labelled["order_id"].tolist()
    assert (found["score"] - labelled["score"]).abs().max() < 1e-6


def test_a_test_period_without_labels_is_said(scored, tmp_path, capsys) -> None:
    scored.events.drop(columns="label").to_parquet(tmp_path / "orders.parquet")
    given = ("--model", scored.scores / "model", "--events", tmp_path / "orders.parquet")
    assert score(*given, "--orders", "test", "--output", tmp_path / "out") == 1
    assert "no order has a label: say --orders all" in capsys.readouterr().err


def test_what_is_notable_of_the_orders_is_said_and_kept(scored, tmp_path, capsys) -> None:
    last_day(scored, tmp_path)
    today = pd.read_parquet(tmp_path / "today.parquet")
    earlier = pd.read_parquet(tmp_path / "earlier.parquet")
    text = today.astype({"customer_id": str, "card_id": object})
    text.loc[text.index[:2], "card_id"] = r"\N"
    text.loc[text.index[5:8], "customer_id"] += ".0"
    twice = pd.concat([text, text.tail(4)])
    twice["amount"] *= 50
    twice.to_csv(tmp_path / "today.csv", index=False)
    pd.concat([earlier, today.head(0)]).to_csv(tmp_path / "earlier.csv", index=False)
    options = ("--events", tmp_path / "today.csv", "--history", tmp_path / "earlier.csv", "--orders", "all")
    assert score("--model", scored.scores / "model", *options, "--output", tmp_path / "out") == 0
    said = capsys.readouterr().err
    notes = json.loads((tmp_path / "out" / "manifest.json").read_text())["notes"]
    for words in (
        "column 'amount' is distributed otherwise than in training",
        "rows break \"every missing card_id is an empty text, not a word for one\", e.g. '\\\\N' (order ",
        'column customer_id: broken: "every customer_id is written in one way": whole numbers are written as',
        "4 of ",
        "rows break \"no row stands in the input twice\": one row of each is kept, e.g. '2 times' (order",
    ):
        assert words in said
        assert any(words in note for note in notes)


def test_orders_that_stand_in_the_history_too_count_once(scored, events, tmp_path, capsys) -> None:
    n_new = last_day(scored, tmp_path)
    options = ("--model", scored.scores / "model", "--orders", "all", "--history", events)
    assert score(*options, "--events", tmp_path / "today.parquet", "--output", tmp_path / "out") == 0
    said = capsys.readouterr().err
    assert f"{n_new:,} orders stand in --events and in --history and count once, e.g. order " in said
    assert "distributed otherwise" not in said
    today = pd.read_parquet(tmp_path / "today.parquet")
    today.assign(amount=today["amount"] + 1).to_parquet(tmp_path / "other.parquet")
    assert score(*options, "--events", tmp_path / "other.parquet", "--output", tmp_path / "other") == 1
    assert f"{n_new:,} orders stand in --events and in --history and differ" in capsys.readouterr().err
