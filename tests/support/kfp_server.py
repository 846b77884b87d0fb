"""A Kubeflow Pipelines API that keeps its state in memory and checks every request and every answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
from support.kfp_faults import Broken, Fault, Refused, break_off

SCHEMA = json.loads(Path(__file__).with_name("kfp_api_schema.json").read_text())
VALIDATORS = {
    name: jsonschema.Draft202012Validator(
        {"$ref": f"#/definitions/{name}", "definitions": SCHEMA["definitions"]}
    )
    for name in SCHEMA["definitions"]
}
PAGE = 2
"""No list is answered in larger pages, whatever was asked for."""
Json = dict[str, Any]


class KfpServer:
    """State and rules; `serve` gives it an address."""

    def __init__(self, namespace: str = "", token: str = "", prefix: str = "") -> None:
        self.namespace, self.token, self.prefix = namespace, token, prefix
        self.host = ""
        self.pipelines: list[Json] = []
        self.versions: list[Json] = []
        self.uploads: list[bytes] = []
        self.experiments: list[Json] = []
        self.runs: list[Json] = []
        self.recurring: list[Json] = []
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self.life: list[Json] = [{"state": "RUNNING"}, {"state": "SUCCEEDED"}]
        """What a run looks like each time somebody asks; the last look stays."""
        self._looks: dict[str, int] = {}
        self._lock = threading.Lock()

    def count(self, method: str, path: str) -> int:
        """How many requests of that kind came in."""
        return sum(one[0] == method and re.search(path, one[1]) is not None for one in self.requests)

    def answer(
        self, method: str, target: str, headers: Any, content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, from its raw parts to the raw answer."""
        with self._lock:
            path, query = (
                urlsplit(target).path,
                dict(parse_qsl(urlsplit(target).query, keep_blank_values=True)),
            )
            fault = next((f for f in self.faults if f.fits(method, path)), None)
            if fault and not fault.stays:
                self.faults.remove(fault)
            try:
                if fault and not fault.done:
                    self.requests.append((method, path, query, None))
                else:
                    result = self._checked(method, path, query, headers, content)
                if fault and fault.act:
                    fault.act()
                if fault and fault.breaks:
                    raise Broken(json.dumps(result if fault.done else {"x": 1}).encode(), fault.breaks)
                if fault:
                    body = fault.body if fault.body is not None else b'{"message": "out of order"}'
                    return fault.status, fault.headers, body
                return 200, {}, json.dumps(result).encode()
            except Refused as error:
                return (
                    error.status,
                    {},
                    json.dumps({"code": 1, "message": str(error), "details": []}).encode(),
                )

    def _checked(self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes) -> Json:
        """Compare request and answer with the description of the API."""
        if not path.startswith(self.prefix):
            raise Refused(404, "nothing here")
        path = path.removeprefix(self.prefix)
        key, ids = self._operation(method, path)
        operation = SCHEMA["operations"][key]
        wrong = set(query) - set(operation["query"])
        if wrong:
            self._violation(f"{key}: query {wrong}")
        body: Any = None
        if "body" in operation:
            if headers.get("Content-Type") != "application/json":
                self._violation(f"{key}: content type {headers.get('Content-Type')}")
            body = json.loads(content)
            self._validate(body, operation["body"], key)
        elif "file" in operation:
            body = self._file(headers, content, operation["file"])
        elif content:
            self._violation(f"{key}: a body of {len(content)} bytes")
        self.requests.append((method, path, query, body))
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, f"Unauthenticated: {headers.get('Authorization')}")
        result = getattr(self, self._function(key))(query, body, *ids)
        self._validate(result, operation["answer"], f"answer of {key}")
        return result

    @staticmethod
    def _operation(method: str, path: str) -> tuple[str, tuple[str, ...]]:
        for key in SCHEMA["operations"]:
            verb, template = key.split()
            match = re.fullmatch(re.sub(r"\{\w+\}", "([^/:]+)", template), path)
            if verb == method and match:
                return key, match.groups()
        raise Refused(404, f"Not Found: {method} {path}")

    @staticmethod
    def _function(key: str) -> str:
        verb, template = key.split()
        words = re.sub(r"\{\w+\}", "one", template.removeprefix("/apis/v2beta1/"))
        return f"_{verb.lower()}_" + re.sub(r"[^a-z]+", "_", words)

    def _validate(self, content: Any, name: str, where: str) -> None:
        error = jsonschema.exceptions.best_match(VALIDATORS[name].iter_errors(content))
        if error is not None:
            self._violation(f"{where}: {error.json_path}: {error.message}")

    def _violation(self, text: str) -> None:
        self.violations.append(text)
        raise Refused(400, f"invalid argument: {text}")

    def _file(self, headers: Any, content: bytes, name: str) -> bytes:
        """The file of a multipart upload."""
        head = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
        message = message_from_bytes(head + content, policy=policy.HTTP)
        parts = list(message.iter_parts()) if message.is_multipart() else []  # type: ignore[attr-defined]
        if len(parts) != 1 or f'name="{name}"' not in parts[0]["Content-Disposition"]:
            self._violation(f"upload: parts {[str(part['Content-Disposition']) for part in parts]}")
        return bytes(parts[0].get_payload(decode=True))

    def _in_namespace(self, namespace: str) -> None:
        if self.namespace and not namespace:
            raise Refused(400, "Invalid input error: namespace cannot be empty in multi-user mode")
        if namespace != self.namespace:
            raise Refused(403, f"User is not authorized in namespace {namespace}")

    @staticmethod
    def _page(items: list[Json], key: str, query: dict[str, str]) -> Json:
        start = int(query.get("page_token", "0"))
        end = start + min(PAGE, int(query.get("page_size", PAGE)))
        page: Json = {"total_size": len(items)}
        if items[start:end]:  # the server leaves an empty list out
            page[key] = items[start:end]
        if end < len(items):
            page["next_page_token"] = str(end)
        return page

    @staticmethod
    def _add(items: list[Json], kind: str, content: Json) -> Json:
        items.append(
            content | {f"{kind}_id": f"{kind}-{len(items) + 1}", "created_at": "2026-01-01T00:00:00Z"}
        )
        return items[-1]

    @staticmethod
    def _one(items: list[Json], key: str, value: Any) -> Json:
        for one in items:
            if one.get(key) == value:
                return one
        raise Refused(404, f"ResourceNotFoundError: {key} {value} not found")

    def _get_healthz(self, _: dict[str, str], __: None) -> Json:
        return {"multi_user": True} if self.namespace else {}

    def _get_pipelines_names_one(self, query: dict[str, str], _: None, name: str) -> Json:
        self._in_namespace(query.get("namespace", ""))
        return self._one(self.pipelines, "name", name)

    def _post_pipelines(self, _: dict[str, str], body: Json) -> Json:
        self._in_namespace(body.get("namespace", ""))
        if any(one["name"] == body["name"] for one in self.pipelines):
            raise Refused(409, "AlreadyExists: pipeline")
        return self._add(self.pipelines, "pipeline", body)

    def _get_pipelines_one_versions(self, query: dict[str, str], _: None, pipeline: str) -> Json:
        self._one(self.pipelines, "pipeline_id", pipeline)
        found = [one for one in self.versions if one["pipeline_id"] == pipeline]
        return self._page(found, "pipeline_versions", query)

    def _post_pipelines_upload_version(self, query: dict[str, str], file: bytes) -> Json:
        self._one(self.pipelines, "pipeline_id", query["pipelineid"])
        if any(one["name"] == query["name"] for one in self.versions):
            raise Refused(409, "AlreadyExists: pipeline version")
        self.uploads.append(file)
        content = {"pipeline_id": query["pipelineid"], "name": query["name"], "display_name": query["name"]}
        return self._add(self.versions, "pipeline_version", content)

    def _get_experiments(self, query: dict[str, str], _: None) -> Json:
        self._in_namespace(query.get("namespace", ""))
        return self._page(self.experiments, "experiments", query)

    def _post_experiments(self, _: dict[str, str], body: Json) -> Json:
        self._in_namespace(body.get("namespace", ""))
        return self._add(self.experiments, "experiment", body | {"storage_state": "AVAILABLE"})

    def _get_runs(self, query: dict[str, str], _: None) -> Json:
        if "experiment_id" not in query:
            self._in_namespace(query.get("namespace", ""))
            return self._page(self.runs, "runs", query)
        found = [one for one in self.runs if one["experiment_id"] == query.get("experiment_id")]
        return self._page(found[::-1] if query.get("sort_by") == "created_at desc" else found, "runs", query)

    def _check_references(self, body: Json) -> None:
        self._one(self.experiments, "experiment_id", body.get("experiment_id"))
        reference = body["pipeline_version_reference"]
        version = self._one(self.versions, "pipeline_version_id", reference["pipeline_version_id"])
        if version["pipeline_id"] != reference["pipeline_id"] or not body.get("display_name"):
            raise Refused(400, "Invalid input error: a run needs a name and a version of its pipeline")

    def _post_runs(self, _: dict[str, str], body: Json) -> Json:
        self._check_references(body)
        return self._add(self.runs, "run", body | {"state": "PENDING"})

    def _get_runs_one(self, _: dict[str, str], __: None, run_id: str) -> Json:
        run = self._one(self.runs, "run_id", run_id)
        look = self._looks.get(run_id, 0)
        self._looks[run_id] = look + 1
        return run | self.life[min(look, len(self.life) - 1)]

    def _get_recurringruns(self, query: dict[str, str], _: None) -> Json:
        self._in_namespace(query.get("namespace", ""))
        return self._page(self.recurring, "recurringRuns", query)

    def _post_recurringruns(self, _: dict[str, str], body: Json) -> Json:
        self._check_references(body)
        cron = body["trigger"]["cron_schedule"]["cron"]
        if len(cron.split()) != 6 or not 1 <= int(body["max_concurrency"]) <= 10:
            raise Refused(400, f"Invalid input error: cron {cron!r}")
        status = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[body["mode"]]
        made = self._add(
            self.recurring, "recurring_run", body | {"status": status, "namespace": self.namespace}
        )
        made["recurring_run_id"] = f"recurring-{len(self.requests)}"  # never that of a deleted one
        return made

    def _delete_recurringruns_one(self, _: dict[str, str], __: None, one: str) -> Json:
        self.recurring.remove(self._one(self.recurring, "recurring_run_id", one))
        return {}

    def _post_recurringruns_one_enable(self, _: dict[str, str], __: None, one: str) -> Json:
        self._one(self.recurring, "recurring_run_id", one).update(status="ENABLED", mode="ENABLE")
        return {}

    def _post_recurringruns_one_disable(self, _: dict[str, str], __: None, one: str) -> Json:
        self._one(self.recurring, "recurring_run_id", one).update(status="DISABLED", mode="DISABLE")
        return {}


@contextmanager
def serve(state: KfpServer) -> Iterator[KfpServer]:
    """Answer on a free port of this machine until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else a body waits 40 ms until its head is acknowledged

        def _do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                status, headers, body = state.answer(self.command, self.path, self.headers, content)
            except Broken as broken:
                break_off(self, broken)
                return
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = do_PATCH = _do

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    state.host = f"http://127.0.0.1:{server.server_port}{state.prefix}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
