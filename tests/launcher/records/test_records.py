"""The record of a run, and the pages over runs: every figure is the one in the file it names."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.tiny_pipeline import tiny

import pipeline
from launcher.compilation import compiled_documents
from launcher.local.run import StageError, run_locally
from launcher.records.figures import PLACES, at
from launcher.records.listing import run_in, runs_below
from launcher.records.page import write_pages
from launcher.records.record import NAME, RunRecord

ODD = "</script><b>&"


def figure(number: int) -> dict[str, float]:
    return {"value": 0.8 + number / 1000, "low": 0.7, "high": 0.9}


def fake_run(runs: Path, number: int, **arguments: Any) -> Path:
    """A folder as a finished run leaves it, with a number of its own in every place a page reads."""
    folder = runs / f"demo-2026010{number}-120000"
    for k, place in enumerate(PLACES):
        file = folder / "stages" / place.file
        content = json.loads(file.read_text()) if file.exists() else {}
        inner = content
        for step, following in zip(place.pointer[:-1], place.pointer[1:], strict=True):
            if isinstance(inner, list):
                inner.extend({} for _ in range(int(step) + 1 - len(inner)))  # type: ignore[call-overload]
                inner = inner[step]
            else:
                inner = inner.setdefault(step, [] if isinstance(following, int) else {})
        words = f"words {ODD} {number}"
        inner[place.pointer[-1]] = (
            words if place.kind == "words" else figure(number) if "auc" in place.pointer else k + number / 8
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    verdict = folder / "stages/check-equivalence/verdict"
    verdict.write_text(json.dumps(json.loads(verdict.read_text()) | {"passed": number != 2}))
    contract = folder / "stages/validate-events/result"
    contract.parent.mkdir(parents=True)
    bad = {"sentence": "every feature is as in training", "passed": False}
    contract.write_text(json.dumps({"passed": True, "findings": [bad, {"sentence": "fine", "passed": True}]}))
    (contract.parent / "report.html").write_text("<p>report</p>")
    (folder / "arguments.json").write_text(json.dumps({"seed": number, "config": "{}", **arguments}))
    return folder


def test_every_figure_is_the_one_in_the_file_it_names(tmp_path: Path) -> None:
    folder = fake_run(tmp_path, 1)
    write_pages(tmp_path)
    page, run = (folder / "index.html").read_text(), run_in(folder)
    assert [figure.name for figure in run.figures.values()] == [place.name for place in PLACES]
    for figure in run.figures.values():
        found = at(json.loads((folder / figure.file).read_text()), figure.pointer)
        value = found["value"] if isinstance(found, dict) else found
        assert figure.value == value
        row = re.search(rf'<td class="name">{re.escape(figure.name)}</td>(.*?)</tr>', page, re.DOTALL)
        assert row is not None
        assert figure.file in row[1]
        if isinstance(value, float):
            shown = re.search(r'data-name="Value">([^<]+)<', row[1])
            assert shown is not None
            assert float(shown[1].replace(",", "")) == pytest.approx(value, rel=0.01, abs=0.5)


def test_the_start_page_leads_to_every_page_by_name(tmp_path: Path) -> None:
    folder = fake_run(tmp_path, 1)
    for page in ("audit.html", "model_card.html", "train-model/curves.html"):
        (folder / "stages" / page).parent.mkdir(exist_ok=True)
        (folder / "stages" / page).write_text("<p>page</p>")
    write_pages(tmp_path)
    links = re.findall(r'<li><a href="([^"]+)">([^<]+)</a></li>', (folder / "index.html").read_text())
    assert links == [
        ("stages/model_card.html", "Model card"),
        ("stages/audit.html", "Chain of proof"),
        ("stages/validate-events/report.html", "Contract of raw events"),
        ("stages/train-model/curves.html", "stages/train-model/curves.html"),
    ]


def test_the_page_over_all_runs_holds_each_and_what_differs(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        fake_run(tmp_path, number, note=ODD)
    os.symlink("demo-20260103-120000", tmp_path / "latest")
    page = write_pages(tmp_path).read_text()
    for number in (1, 2, 3):
        assert page.count(f'href="demo-2026010{number}-120000/index.html"') == 1
    assert "<h1>3 runs</h1>" in page
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])  # type: ignore[index]
    assert data["demo-20260102-120000"]["settings"] == {"seed": "2", "note": json.dumps(ODD)}
    assert "http://" not in page.replace("http://www.w3.org/", "")  # nothing is fetched
    assert "https://" not in page


def test_a_page_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    fake_run(tmp_path, 1)
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(ValueError, match="was not written by this program"):
        write_pages(tmp_path)
    assert (tmp_path / "index.html").read_text() == "mine"


def test_a_damaged_record_is_named_and_a_damaged_artifact_shows_nothing(tmp_path: Path) -> None:
    folder = fake_run(tmp_path, 1)
    (folder / "stages/check-equivalence/verdict").write_text("{")
    run = run_in(folder)
    assert "Gate" not in run.figures
    assert not any(check.name == "Equivalence gate" for check in run.checks)
    (folder / NAME).write_text('{"format": 7}')
    with pytest.raises(ValueError, match=re.escape(str(folder / NAME))):
        run_in(folder)


def run_tiny(runs: Path, **arguments: object) -> None:
    run_locally(compiled_documents(tiny), arguments, "tiny", runs, Console(file=io.StringIO(), width=200))


def test_a_run_records_its_stages_while_it_runs(tmp_path: Path) -> None:
    run_tiny(tmp_path, count=3)
    record = RunRecord.read(tmp_path / "latest")
    assert record is not None
    assert (record.state, record.data_set) == ("succeeded", "tiny")
    assert [(one.name, one.after, one.state) for one in record.stages] == [
        ("write-words", (), "succeeded"),
        ("read-words", ("write-words",), "succeeded"),
    ]
    assert record.stages[0].key_figure == "3 copies"
    for stage in record.stages:
        assert stage.seconds is not None
        assert (tmp_path / "latest" / stage.log).is_file()
    assert record.seconds is not None
    assert record.seconds >= sum(stage.seconds or 0 for stage in record.stages)
    with pytest.raises(StageError):
        run_tiny(tmp_path, fault="raise")
    failed, succeeded = runs_below(tmp_path)
    assert (failed.state, succeeded.state) == ("failed", "succeeded")
    assert [stage.state for stage in failed.stages] == ["succeeded", "failed"]
    assert "the text is bad" in failed.stages[1].error
    page = write_pages(tmp_path).read_text()
    assert page.count("<small>failed</small>") == 1
    assert "the text is bad" in (failed.folder / "index.html").read_text()


def test_a_killed_run_is_no_running_one(tmp_path: Path) -> None:
    folder = fake_run(tmp_path, 1)
    stage = {"name": "train-model", "state": "running", "started": "2026-01-01T00:00:00Z"}
    record = {"data_set": "demo", "state": "running", "started": "2026-01-01T00:00:00Z", "stages": [stage]}
    (folder / NAME).write_text(json.dumps(record))
    assert run_in(folder).state == "stopped"


def test_the_command_lists_and_compares(tmp_path: Path) -> None:
    for number in (1, 2):
        fake_run(tmp_path, number)

    def runs(*arguments: str) -> str:
        result = CliRunner().invoke(pipeline.main, ["runs", "--runs", str(tmp_path), *arguments])
        assert (result.exit_code == 0) == ("Error" not in result.output), result.output
        return result.output

    assert runs().index("demo-20260102-120000") > 0
    assert str(tmp_path / "index.html") in runs("--html").replace("\n", "")
    compared = runs("--compare", "demo-20260101-120000", "demo-20260102-120000")
    assert re.search(r"Test AUC +0\.8010 \[0\.7000, 0\.9000\] +0\.8020", compared)
    assert re.search(r"seed +1 +2", compared)
    assert "there is no run nowhere" in runs("--compare", "nowhere", "demo-20260101-120000")
    assert "there is no folder" in CliRunner().invoke(pipeline.main, ["runs", "--runs", "nowhere"]).output
