"""Where the settings of a connection come from, and what never shows."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from launcher.kubeflow.answers import ApiError
from launcher.kubeflow.api import Api
from launcher.kubeflow.connection import Connection, ConnectionProblem
from launcher.secrets import blot

SECRET = "very-secret"
HOST = {"host": "https://kfp.example"}


def test_an_option_counts_more_than_the_environment_and_that_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "connection.yaml"
    file.write_text(
        "host: https://file.example\nnamespace: from-file\nservice_account: from-file\ntimeout_s: 5\n"
    )
    environment = {
        "KF_PIPELINES_NAMESPACE": "from-environment",
        "KF_PIPELINES_ENDPOINT": "https://env.example",
    }
    options = {"host": "https://option.example", "namespace": None}
    found = Connection.find(options, file, environment)
    assert (found.host, found.namespace) == ("https://option.example", "from-environment")
    assert (found.service_account, found.timeout_s) == ("from-file", 5.0)
    named = Connection.find({}, None, {"KF_PIPELINES_CONNECTION": str(file)})
    assert named.host == "https://file.example"


def test_the_usual_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / ".config/tsa-pipeline/connection.yaml"  # HOME is tmp_path
    file.parent.mkdir(parents=True)
    file.write_text("host: kfp.example\n")
    assert Connection.find({}, None, {}).host == "https://kfp.example"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("kfp.example", "https://kfp.example"),
        ("http://localhost:8888/", "http://localhost:8888"),
        ("https://kfp.example/pipeline/", "https://kfp.example/pipeline"),
        ("https://kfp.example/pipeline/apis/v2beta1", "https://kfp.example/pipeline"),
        ("https://kfp.example/pipeline/#/runs", "https://kfp.example/pipeline"),
    ],
)
def test_addresses_are_tidied(given: str, used: str) -> None:
    assert Connection(host=given).host == used


def test_a_setting_without_a_value_is_not_set(tmp_path: Path) -> None:
    file = tmp_path / "connection.yaml"
    file.write_text("host: kubeflow.example\nnamespace:\ntoken:\n")
    connection = Connection.find({}, file, {})
    assert (connection.namespace, connection.bearer()) == ("", "")


def test_links_lead_to_where_people_look() -> None:
    assert Connection(**HOST).run_link("7") == "https://kfp.example/#/runs/details/7"
    assert Connection(**HOST, ui_host="ui.example/pipeline").schedule_link("7") == (
        "https://ui.example/pipeline/#/recurringrun/details/7"
    )


def test_a_token_replaces_one_from_a_weaker_source(tmp_path: Path) -> None:
    file = tmp_path / "connection.yaml"
    file.write_text(f"host: kfp.example\ntoken: {SECRET}\n")
    (tmp_path / "token").write_text("of-the-file\n")
    assert Connection.find({}, file, {}).bearer() == SECRET
    assert Connection.find({"token_file": tmp_path / "token"}, file, {}).bearer() == "of-the-file"
    environment = {"KF_PIPELINES_SA_TOKEN_PATH": str(tmp_path / "token")}
    assert Connection.find({}, file, environment).bearer() == "of-the-file"
    assert Connection.find({"token": "given"}, file, environment).bearer() == "given"
    assert Connection.find(HOST, None, {}).bearer() == ""


def test_secrets_never_show() -> None:
    connection = Connection(**HOST, token=SECRET, proxy=f"http://me:{SECRET}@proxy.example")
    for text in (repr(connection), str(connection), connection.model_dump_json()):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"host": f"https://me:{SECRET}@kfp.example"}, "host: .*holds a password"),
        ({"host": "ftp://kfp.example"}, "host: .*is no address like"),
        (HOST | {"tokn": SECRET}, "tokn: Extra inputs are not permitted"),
        (HOST | {"timeout_s": SECRET}, "timeout_s: "),
        ({}, "no host: give --host or KF_PIPELINES_ENDPOINT"),
    ],
)
def test_mistakes_are_named_without_their_values(content: dict[str, str], message: str) -> None:
    with pytest.raises(ConnectionProblem, match=message) as caught:
        Connection.find(content, None, {})
    assert SECRET not in str(caught.value)


def test_unusable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionProblem, match=r"nowhere\.yaml cannot be read"):
        Connection.find({}, tmp_path / "nowhere.yaml", {})
    broken = tmp_path / "broken.yaml"
    broken.write_text(f"token: [{SECRET}")
    with pytest.raises(ConnectionProblem, match=r"is not valid YAML$"):
        Connection.find({}, broken, {})
    broken.write_text(f"host: https://kfp.example\ntokenfile: {SECRET}\n")
    with pytest.raises(
        ConnectionProblem,
        match=r"broken\.yaml: there is no setting 'tokenfile'; did you mean 'token_file'\?$",
    ):
        Connection.find({}, broken, {})
    with pytest.raises(ConnectionProblem, match=r"token file .*gone cannot be read"):
        Connection(**HOST, token_file=tmp_path / "gone").bearer()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f"{SECRET}\n{SECRET}\n", "holds 2 lines"),
        (f"{SECRET} {SECRET}", "holds blanks or special characters"),
        (f"{SECRET}\u00e4", "holds blanks or special characters"),
        (f"{SECRET}\0", "holds blanks or special characters"),
        (b"\xff\xfe" + SECRET.encode(), "is no text"),
    ],
)
def test_what_cannot_be_a_token_is_refused_without_showing_it(
    tmp_path: Path, content: str | bytes, words: str
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ConnectionProblem, match=words) as caught:
        Connection(**HOST, token_file=file).bearer()
    assert SECRET not in str(caught.value)
    if isinstance(content, str):
        with pytest.raises(ConnectionProblem, match=words):
            Connection(**HOST, token=content).bearer()


def test_pieces_of_a_secret_are_blotted_too() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.payload-of-the-token.signature"
    whole = f"you sent Bearer {token}"
    for text in (whole, whole[:40], repr(whole.encode())[:50], whole.replace(".", "%2E"), token[12:30]):
        shown = blot(text, {token, ""})
        assert not any(token[at : at + 8] in shown for at in range(len(token) - 7)), shown
    assert blot("nothing of it", {token}) == "nothing of it"


def test_requests_go_through_the_proxy_with_its_password() -> None:
    seen: list[tuple[str, str | None]] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append((self.path, self.headers.get("Proxy-Authorization")))
            self.send_response(200)
            self.send_header("Content-Length", "15")
            self.end_headers()
            self.wfile.write(b'{"run_id": "7"}')

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.handle_request, daemon=True).start()
        address = f"http://me:word@127.0.0.1:{proxy.server_port}"
        assert Api(Connection(host="http://kfp.example", proxy=address)).get("/runs/7", "run_id") == {
            "run_id": "7"
        }
    assert seen == [("http://kfp.example/apis/v2beta1/runs/7", "Basic bWU6d29yZA==")]


def test_a_missing_certificate_authority_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"ca\.pem"):
        Api(Connection(**HOST, ca_file=tmp_path / "ca.pem")).get("/runs/7", "run_id")


def test_a_dead_proxy_is_named_without_its_password() -> None:
    connection = Connection(**HOST, proxy=f"http://me:{SECRET}@127.0.0.1:1", retries=1, retry_wait_s=0)
    with pytest.raises(ApiError, match="cannot be reached through the proxy") as caught:
        Api(connection).get("/runs/7", "run_id")
    assert SECRET not in str(caught.value)
