"""Requests whose answer is lost, cut or not of the API: nothing is doubled, nothing is silently paused."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.kfp_faults import Fault
from support.kfp_server import KfpServer

from launcher.errors import LauncherError
from launcher.kubeflow import schedule
from launcher.kubeflow.connection import Connection
from launcher.kubeflow.server import PipelinesServer
from launcher.kubeflow.submit import Submission, Submitted, submit

DOCUMENTS = [
    {
        "pipelineInfo": {"name": "tsa-pipeline"},
        "deploymentSpec": {"executors": {"one": {"container": {"image": "registry.example/tsa:1"}}}},
    }
]

PAGE = b"<html>log in</html>"
HTML = {"Content-Type": "text/html"}
ANSWERS = {
    "503": {"status": 503},
    "reset": {"status": 200, "breaks": "reset"},
    "cut in the middle": {"status": 200, "breaks": "cut"},
    "log-in page": {"status": 200, "body": PAGE, "headers": HTML},
    "redirect to a log-in page": {
        "status": 302,
        "body": b"",
        "headers": {"Location": "https://dex.example/"},
    },
    "JSON of something else": {"status": 200, "body": b'{"status": "ok"}'},
}
WEEKLY, DAILY = "0 0 2 * * 1", "0 0 3 * * *"


class Direct:
    """The launcher without the command line, whose compiling is done once."""

    def __init__(self, server: KfpServer) -> None:
        connection = Connection(host=server.host, namespace="fraud", token=server.token, retry_wait_s=0)
        self.server = PipelinesServer(connection)
        self.submission = Submission(DOCUMENTS, {"seed": 3})
        self.told = ""
        """What the last call ended with; empty = well."""

    def _do(self, action: Callable[[], object]) -> bool:
        self.told = ""
        try:
            action()
        except (LauncherError, KeyboardInterrupt) as error:
            self.told += str(error)
            return False
        return True

    def _tell(self, line: str) -> None:
        self.told += line

    def schedule(self, cron: str) -> bool:
        return self._do(
            lambda: schedule.schedule(self.server, self.submission, "mine", "weekly", cron, self._tell)
        )

    def change(self, what: str) -> bool:
        return self._do(lambda: getattr(schedule, what)(self.server, "weekly", self._tell))

    def submit(self) -> Submitted | None:
        found: list[Submitted] = []
        self._do(lambda: found.append(submit(self.server, self.submission, "mine", None)))
        return found[0] if found else None


@pytest.fixture
def direct(server: KfpServer) -> Direct:
    return Direct(server)


def active(server: KfpServer) -> list[str]:
    return [
        one["trigger"]["cron_schedule"]["cron"]
        for one in server.recurring
        if one["display_name"] == "weekly" and one["status"] == "ENABLED"
    ]


@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_one_strange_answer_makes_no_second_run(
    server: KfpServer, direct: Direct, answer: str, done: bool
) -> None:
    server.faults = [Fault(path="/v2beta1/runs", method="POST", done=done, **ANSWERS[answer])]
    if direct.submit() is None:
        assert not done
        assert server.runs == []
        assert direct.submit() is not None
    assert len(server.runs) == 1


@pytest.mark.parametrize("answer", ANSWERS)
def test_the_second_try_after_an_outage_starts_no_second_run(
    server: KfpServer, direct: Direct, answer: str
) -> None:
    """The server starts the run, and from then on nothing is answered."""
    server.faults = [
        Fault(path="/v2beta1/runs", method="POST", done=True, **ANSWERS[answer]),
        Fault(path="/v2beta1/runs", method="GET", stays=True, **ANSWERS[answer]),
    ]
    assert direct.submit() is None
    assert "Whether run 'tsa-pipeline-" in direct.told
    assert len(server.runs) == 1
    server.faults = []
    second = direct.submit()
    assert second is not None
    assert (second.earlier, second.run["run_id"]) == (True, server.runs[0]["run_id"])
    third = direct.submit()  # a new wish
    assert third is not None
    assert not third.earlier
    assert len(server.runs) == 2


def test_the_command_says_that_an_earlier_try_has_started_the_run(server: KfpServer, command) -> None:
    server.faults = [Fault(503, path="/v2beta1/runs", stays=True, done=True)]
    assert command("submit", "--run-name", "mine").exit_code == 1  # not even the look before it is answered
    assert server.runs == []
    server.faults = [
        Fault(200, path="/v2beta1/runs", method="POST", done=True, breaks="reset"),
        Fault(503, path="/v2beta1/runs", method="GET", stays=True),
    ]
    assert command("submit").exit_code == 1
    server.faults = []
    assert "no other is started" in command("submit").output
    assert len(server.runs) == 1


def test_a_refused_run_leaves_no_note(server: KfpServer, direct: Direct, tmp_path: Path) -> None:
    server.faults = [Fault(400, path="/v2beta1/runs", method="POST")]
    assert direct.submit() is None
    assert list((tmp_path / ".local/state/tsa-pipeline/pending").iterdir()) == []


CHANGES = [
    ("POST", "/recurringruns"),
    ("POST", ":disable"),
    ("POST", ":enable"),
    ("DELETE", "/recurringruns/"),
]
AT_EACH_CHANGE = pytest.mark.parametrize(("method", "path"), CHANGES, ids=[" ".join(one) for one in CHANGES])


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("done", [False, True], ids=["not done", "done"])
@AT_EACH_CHANGE
@pytest.mark.parametrize("stays", [False, True], ids=["once", "always"])
def test_exactly_one_schedule_fires_or_the_message_says_what_does(
    server: KfpServer, direct: Direct, method: str, path: str, done: bool, answer: str, stays: bool
) -> None:
    assert direct.schedule(WEEKLY)
    server.faults = [
        Fault(
            method=method, path=path, end=path == "/recurringruns", done=done, stays=stays, **ANSWERS[answer]
        )
    ]
    well, fires = direct.schedule(DAILY), active(server)
    assert len(fires) <= 1
    if well:
        assert fires == [DAILY]
    elif fires:
        assert f"one recurring run fires now: {fires[0]}" in direct.told
    else:
        assert "none fires now. Repair: tsa schedule resume weekly" in direct.told
    server.faults = []
    if not fires:
        assert direct.change("resume")
        assert len(active(server)) == 1
    assert direct.schedule(DAILY)
    assert active(server) == [DAILY]
    assert len(server.recurring) == 1


@AT_EACH_CHANGE
def test_an_outage_that_goes_on_is_told(server: KfpServer, direct: Direct, method: str, path: str) -> None:
    """The change is done, and the server is away from then on: reading back fails too."""
    assert direct.schedule(WEEKLY)

    def away() -> None:
        server.faults.append(Fault(503, stays=True))

    server.faults = [Fault(504, method=method, path=path, end=path == "/recurringruns", done=True, act=away)]
    assert not direct.schedule(DAILY)
    assert "What of the name 'weekly' fires now is not known" in direct.told
    assert "tsa schedule resume weekly" in direct.told
    assert len(active(server)) <= 1
    server.faults = []
    assert direct.change("resume")
    assert len(active(server)) == 1


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[], None]]:
    """Presses it as in a terminal: a shell starts programs in the background deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


@AT_EACH_CHANGE
def test_ctrl_c_leaves_one_schedule_and_says_so(
    server: KfpServer, direct: Direct, ctrl_c: Callable[[], None], method: str, path: str
) -> None:
    assert direct.schedule(WEEKLY)
    server.faults = [
        Fault(503, method=method, path=path, end=path == "/recurringruns", done=True, act=ctrl_c)
    ]
    assert not direct.schedule(DAILY)
    (cron,) = active(server)
    assert f"one recurring run fires now: {cron}" in direct.told


def test_resuming_never_lets_two_fire(server: KfpServer, direct: Direct) -> None:
    assert direct.schedule(WEEKLY)
    for number in range(2):
        server.recurring.append(server.recurring[0] | {"recurring_run_id": f"left-{number}"})
    assert len(active(server)) == 3
    assert direct.change("resume")
    assert len(active(server)) == 1
    assert direct.change("pause")
    assert active(server) == []


@pytest.mark.parametrize("action", ["pause", "resume", "delete"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_change_that_fails_says_what_fires(
    server: KfpServer, direct: Direct, action: str, answer: str
) -> None:
    assert direct.schedule(WEEKLY)
    for method in ("POST", "DELETE"):
        server.faults.append(Fault(method=method, path="/recurringruns/", stays=True, **ANSWERS[answer]))
    assert not direct.change(action)
    assert "one recurring run fires now: 0 0 2 * * 1" in direct.told


def test_json_of_something_else_is_no_empty_list(server: KfpServer, command) -> None:
    server.faults = [Fault(200, body=b'{"status": "ok"}')]
    result = command("schedule", "list")
    assert result.exit_code == 1
    assert "JSON that is not of the Kubeflow Pipelines API" in result.output


def test_without_a_namespace_nothing_is_made_on_a_multi_user_server(
    server: KfpServer, command, tmp_path: Path
) -> None:
    for arguments in (("submit",), ("schedule", "create", "--cron", WEEKLY)):
        result = command(*arguments, "--namespace", "")
        assert result.exit_code == 1
        assert "namespace cannot be empty" in result.output
    assert server.pipelines == []
    assert server.versions == []


def test_ten_submissions_of_the_same_content_are_one_version(
    server: KfpServer, direct: Direct, command, tmp_path: Path
) -> None:
    for _ in range(9):
        assert direct.submit() is not None
    for _ in range(2):
        assert command("submit").exit_code == 0
    assert len(server.versions) == 2
    changed = tmp_path / "stages.yaml"
    changed.write_text('stages: {train_model: {cpu: {request: "2"}}}\n')
    assert command("submit", "--stages", str(changed)).exit_code == 0
    assert len(server.versions) == 3


def test_the_wait_that_the_server_asks_for_is_kept(
    server: KfpServer, command, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    server.faults = [Fault(429, headers={"Retry-After": "7"})]
    assert command("schedule", "list").exit_code == 0
    assert waits == [7.0]
    server.faults = [Fault(503, headers={"Retry-After": "86400"})]
    result = command("schedule", "list")
    assert result.exit_code == 1
    assert waits == [7.0]  # nobody waits a day


def test_an_echoed_token_never_shows_however_the_message_is_cut(server: KfpServer, command) -> None:
    for length in range(350, 420, 7):
        text = "x" * length + f" you sent Bearer {server.token}"
        server.faults = [Fault(400, body=b'{"message": "%s"}' % text.encode())]
        shown = command("schedule", "list").output
        assert not any(server.token[at : at + 8] in shown for at in range(len(server.token) - 7))
