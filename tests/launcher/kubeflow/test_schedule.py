"""Scheduling, against a server that keeps state and knows its API's description."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from support.kfp_faults import Fault
from support.kfp_server import KfpServer

from tsa_model.settings.data_interval import SCHEDULED_TIME, interval_end

WEEKLY = ("--cron", "0 2 * * 1")


def names(server: KfpServer) -> list[tuple[str, str]]:
    return [(one["display_name"], one["status"]) for one in server.recurring]


def test_what_is_sent(server: KfpServer, command) -> None:
    result = command("schedule", "create", *WEEKLY, "--name", "weekly", "--seed", "3")
    assert result.exit_code == 0, result.output
    (body,) = [
        body
        for method, path, _, body in server.requests
        if method == "POST" and path.endswith("recurringruns")
    ]
    assert body == {
        "display_name": "weekly",
        "experiment_id": "experiment-1",
        "pipeline_version_reference": {
            "pipeline_id": "pipeline-1",
            "pipeline_version_id": "pipeline_version-1",
        },
        "runtime_config": {"parameters": {"seed": 3, "data_interval_end": SCHEDULED_TIME}},
        "trigger": {"cron_schedule": {"cron": "0 0 2 * * 1"}},
        "mode": "DISABLE",  # it fires only once the former one does not
        "max_concurrency": "1",
        "no_catchup": True,
    }
    assert f"/#/recurringrun/details/{server.recurring[0]['recurring_run_id']}" in result.output


def test_the_next_five_fire_times_are_shown_in_utc(command) -> None:
    result = command("schedule", *WEEKLY)  # create is what a schedule with options does
    assert result.exit_code == 0, result.output
    shown = re.findall(r"  Mon (\d{4}-\d\d-\d\d) 02:00:00 UTC", result.output)
    assert len(shown) == 5
    days = [datetime.fromisoformat(day) for day in shown]
    assert {(after - before).days for before, after in pairwise(days)} == {7}
    assert days[0].replace(hour=2, tzinfo=UTC) > datetime.now(UTC)


def test_the_sent_parameter_becomes_the_window_of_the_scheduled_time(server: KfpServer, command) -> None:
    command("schedule", *WEEKLY)
    sent = server.recurring[0]["runtime_config"]["parameters"]["data_interval_end"]
    # What Kubeflow makes of it when the run of Monday, 4 March 2024, is due.
    fired = sent.replace("[[ScheduledTime]]", "20240304020000")
    assert interval_end(fired) == datetime(2024, 3, 4, tzinfo=UTC)


def test_scheduling_twice_leaves_one_recurring_run(server: KfpServer, command) -> None:
    for _ in range(3):  # more than a page of names
        server.recurring.append({"recurring_run_id": "x", "display_name": "other", "status": "ENABLED"})
    assert command("schedule", *WEEKLY, "--name", "weekly").exit_code == 0
    first = server.recurring[-1]["recurring_run_id"]
    assert command("schedule", "--cron", "0 30 3 * * *", "--name", "weekly").exit_code == 0
    assert names(server) == [("other", "ENABLED")] * 3 + [("weekly", "ENABLED")]
    latest = server.recurring[-1]
    assert latest["recurring_run_id"] != first
    assert latest["trigger"]["cron_schedule"]["cron"] == "0 30 3 * * *"
    assert latest["pipeline_version_reference"]["pipeline_version_id"] == "pipeline_version-1"  # the same
    deleted = [query for method, _, query, _ in server.requests if method == "DELETE"]
    assert deleted == [{"propagation_policy": "ORPHAN"}]  # a run in progress is not deleted along


def test_never_do_two_of_a_name_fire(server: KfpServer, command) -> None:
    command("schedule", *WEEKLY)
    command("schedule", *WEEKLY)
    order = [
        (method, path.rpartition(":")[2] if ":" in path else "")
        for method, path, _, _ in server.requests
        if method != "GET" and "recurringruns" in path
    ]
    assert order == [
        ("POST", ""),
        ("POST", "enable"),
        ("POST", ""),
        ("POST", "disable"),
        ("POST", "enable"),
        ("DELETE", ""),
    ]


def test_a_former_schedule_goes_on_when_the_new_one_cannot_be_made(server: KfpServer, command) -> None:
    command("schedule", *WEEKLY)
    server.faults = [Fault(400, method="POST", path="/apis/v2beta1/recurringruns", end=True)]
    result = command("schedule", *WEEKLY)
    assert result.exit_code == 1
    assert "refuses POST /recurringruns (400: out of order)" in result.output
    assert names(server) == [("tsa-pipeline", "ENABLED")]
    assert "one recurring run fires now: 0 0 2 * * 1" in result.output
    assert server.count("POST", ":disable") == 0


@pytest.mark.parametrize("done", [False, True], ids=["refused", "done all the same"])
def test_an_answer_5xx_makes_no_second_schedule(server: KfpServer, command, done: bool) -> None:
    command("schedule", *WEEKLY)
    server.faults = [Fault(502, path="/recurringruns", method="POST", done=done) for _ in range(2)]
    server.faults += [Fault(503, path="/recurringruns", method="DELETE", done=done)]
    assert command("schedule", *WEEKLY).exit_code == 0
    assert server.faults == []
    assert names(server) == [("tsa-pipeline", "ENABLED")]


def test_pause_resume_and_delete(server: KfpServer, command) -> None:
    command("schedule", *WEEKLY, "--name", "weekly")
    command("schedule", *WEEKLY, "--name", "other")
    assert "weekly: paused" in command("schedule", "pause", "weekly").output
    assert names(server) == [("weekly", "DISABLED"), ("other", "ENABLED")]
    assert command("schedule", "pause", "--name", "weekly").exit_code == 0  # twice is fine
    listing = command("schedule", "list").output
    assert re.search(r"weekly +paused +0 0 2 \* \* 1 +recurring-", listing)
    assert re.search(r"other +active +0 0 2 \* \* 1 +\d{4}-\d\d-\d\d 02:00:00 UTC", listing)
    assert "weekly: active" in command("schedule", "resume", "--name", "weekly").output
    assert names(server) == [("weekly", "ENABLED"), ("other", "ENABLED")]
    assert "weekly: deleted" in command("schedule", "delete", "weekly").output
    assert names(server) == [("other", "ENABLED")]
    again = command("schedule", "delete", "weekly")
    assert again.exit_code == 1
    assert "there is no recurring run 'weekly'; there are: other" in again.output


def test_an_empty_list(command) -> None:
    result = command("schedule", "list")
    assert result.exit_code == 0
    assert "No recurring runs." in result.output


def test_a_name_of_another_pipeline_is_left_alone(server: KfpServer, command) -> None:
    theirs = {
        "recurring_run_id": "x",
        "display_name": "weekly",
        "pipeline_version_reference": {"pipeline_id": "theirs"},
    }
    server.recurring.append(theirs)
    result = command("schedule", *WEEKLY, "--name", "weekly")
    assert result.exit_code == 1
    assert "'weekly' of another pipeline exists: choose another --name" in result.output
    assert server.recurring == [theirs]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cron", "0 2 * *"), "has 4 fields"),
        (("--cron", "0 2 * * MONDAY"), "bad day-of-week"),
        ((*WEEKLY, "-p", "colour=red"), "no input 'colour'"),
        ((), "Missing option '--cron'"),
    ],
)
def test_mistakes_stop_before_anything_is_sent(
    server: KfpServer, command, arguments: tuple[str, ...], words: str
) -> None:
    result = command("schedule", "create", *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert server.requests == []


@pytest.mark.parametrize("action", ["list", "pause", "resume", "delete"])
def test_errors_are_explained_for_every_action(server: KfpServer, command, action: str) -> None:
    result = command("schedule", action, "--namespace", "elsewhere")
    assert result.exit_code == 1
    assert "access in namespace 'elsewhere' is refused (403" in result.output
