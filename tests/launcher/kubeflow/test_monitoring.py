"""The monitoring pipeline beside the other one: submitted, scheduled, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.kfp_server import KfpServer
from support.monitored import faulty, judged

from tsa_model.monitoring import stage
from tsa_model.sealed import write_sealed
from tsa_model.settings.run import RunConfig

GIVEN = (
    "-p",
    "reference=s3://bucket/run/scores",
    "-p",
    "scores=s3://bucket/scored",
    "--events",
    "s3://bucket/orders",
)
WHICH = ("--pipeline", "monitoring")


def test_submit_runs_the_other_pipeline(server: KfpServer, command) -> None:
    result = command("submit", *WHICH, *GIVEN)
    assert result.exit_code == 0, result.output
    assert [one["name"] for one in server.pipelines] == ["tsa-monitoring"]
    parameters = server.runs[0]["runtime_config"]["parameters"]
    assert parameters == {
        "reference": "s3://bucket/run/scores",
        "scores": "s3://bucket/scored",
        "events": "s3://bucket/orders",
    }


def test_both_schedules_lie_side_by_side(server: KfpServer, command) -> None:
    daily = command("schedule", "create", "--cron", "0 5 * * *", *WHICH, *GIVEN)
    weekly = command("schedule", "create", "--cron", "0 2 * * 1")
    assert (daily.exit_code, weekly.exit_code) == (0, 0), daily.output + weekly.output
    assert {one["display_name"] for one in server.recurring} == {"tsa-pipeline", "tsa-monitoring"}
    sent = next(one for one in server.recurring if one["display_name"] == "tsa-monitoring")
    assert "data_interval_end" in sent["runtime_config"]["parameters"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "the pipeline needs 'scores'"),
        (("-p", "scores=s3://bucket/scored", "--seed", "3"), "this pipeline has no --seed"),
        (("-p", "scores=here"), "a cluster does not see the files of this machine"),
        (("-p", "scores=/scored"), "lies on no volume of the stage monitor_scores"),
    ],
)
def test_mistakes_stop_before_anything_is_sent(
    server: KfpServer, command, more: tuple[str, ...], words: str
) -> None:
    result = command("submit", *WHICH, "-p", "reference=s3://bucket/run/scores", *more)
    assert result.exit_code == 1
    assert words in result.output
    assert not server.runs


def test_a_volume_of_the_stage_is_a_place(server: KfpServer, command, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("stages: {monitor_scores: {volumes: [{claim: tsa, mount: /data}]}}\n")
    given = ("-p", "reference=/data/run/scores", "-p", "scores=/data/one,/data/two", "--stages", str(site))
    result = command("submit", *WHICH, *given)
    assert result.exit_code == 0, result.output


def test_an_alarm_starts_one_run_with_the_newest_window_and_a_link(
    server: KfpServer, command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = judged(faulty(14))
    assert document.alarms

    def write(*places: object) -> dict[str, str]:  # the files of a run take minutes to make
        write_sealed(str(places[3]), document)
        return {"key_figure": "act"}

    monkeypatch.setattr(stage, "monitor_scores", write)
    reference = tmp_path / "scores"
    reference.mkdir()
    (reference / "metrics.json").touch()
    words = ["monitor", "--reference", str(reference), "--scores", str(reference), "--retrain"]
    words += ["--output", str(tmp_path / "out"), "--page-url", "https://pages.example/monitoring.html"]
    first, second = (command(*words) for _ in range(2))
    assert first.exit_code == 0, first.output
    assert "was started for this before" in second.output
    (tmp_path / "out" / "retraining.json").unlink()  # a lost list: the server knows the run by its name
    third = command(*words)
    assert third.exit_code == 0, third.output
    (run,) = server.runs
    assert run["display_name"] == f"retrain-{document.alarms[0].id[:12]}"
    parameters = run["runtime_config"]["parameters"]
    assert parameters["data_interval_end"] == document.as_of.isoformat()
    asked = RunConfig.load(parameters["config"]).alarm
    assert asked is not None
    assert asked.page == "https://pages.example/monitoring.html"
    assert asked.document_sha256 == document.sha256
