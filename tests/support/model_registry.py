"""A Model Registry that keeps its state in memory and checks every request and every answer.

`model_registry_schema.json` holds the operations that are used, from the description of the API v1alpha3 of
Kubeflow's Model Registry (Apache-2.0); fields that it does not name are refused.
"""

from __future__ import annotations

import json
import re
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
from support.kfp_faults import Broken, Fault, Refused
from support.kfp_server import serve

SCHEMA = json.loads(Path(__file__).with_name("model_registry_schema.json").read_text())
PREFIX = "/api/model_registry/v1alpha3"
Json = dict[str, Any]


class ModelRegistryServer:
    """State and rules; `serving` gives it an address."""

    prefix = ""

    def __init__(self, token: str = "") -> None:
        self.host, self.token = "", token
        self.kept: dict[str, list[Json]] = {"registered_model": [], "model_version": [], "model_artifact": []}
        self.parents: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.violations: list[str] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._last = 0

    def serving(self) -> AbstractContextManager[Any]:
        """Answer on a free port until the context ends."""
        return serve(self)  # type: ignore[arg-type]

    def changes(self) -> list[str]:
        """The requests that change something."""
        return [f"{method} {path}" for method, path in self.requests if method != "GET"]

    def answer(
        self, method: str, target: str, headers: Any, content: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, from its raw parts to the raw answer."""
        with self._lock:
            path = urlsplit(target).path
            query = dict(parse_qsl(urlsplit(target).query, keep_blank_values=True))
            fault = next((one for one in self.faults if one.fits(method, path)), None)
            if fault and not fault.stays:
                self.faults.remove(fault)
            try:
                status, result = 0, {}
                if not fault or fault.done:
                    status, result = self._checked(method, path, query, headers, content)
                if fault and fault.breaks:
                    raise Broken(json.dumps(result).encode(), fault.breaks)
                if fault:
                    body = fault.body if fault.body is not None else b'{"message": "out of order"}'
                    return fault.status, fault.headers, body
                return status, {}, json.dumps(result).encode()
            except Refused as error:
                said = {"code": str(error.status), "message": str(error)}
                return error.status, {}, json.dumps(said).encode()

    def _checked(
        self, method: str, path: str, query: dict[str, str], headers: Any, content: bytes
    ) -> tuple[int, Json]:
        if not path.startswith(PREFIX):
            raise Refused(404, "nothing here")
        path = path.removeprefix(PREFIX)
        self.requests.append((method, path))
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            raise Refused(401, f"Unauthenticated: {headers.get('Authorization')}")
        key, ids = self._operation(method, path)
        operation = SCHEMA["operations"][key]
        for name, value in query.items():
            if name not in operation["query"]:
                self._violation(f"{key}: query {name}")
            self._validate(value, operation["query"][name], f"{key}: query {name}")
        body: Json = {}
        if "body" in operation:
            if headers.get("Content-Type") != "application/json":
                self._violation(f"{key}: content type {headers.get('Content-Type')}")
            body = json.loads(content)
            self._validate(body, operation["body"], key)
        elif content:
            self._violation(f"{key}: a body of {len(content)} bytes")
        result = self._do(method, path, query, body, ids)
        self._validate(result, operation["answer"], f"answer of {key}")
        return operation["status"], result

    @staticmethod
    def _operation(method: str, path: str) -> tuple[str, tuple[str, ...]]:
        for key in SCHEMA["operations"]:
            verb, template = key.split()
            match = re.fullmatch(re.sub(r"\{\w+\}", "([1-9][0-9]{0,8})", template), path)
            if verb == method and match:
                return key, match.groups()
        raise Refused(404, f"Not Found: {method} {path}")

    def _do(self, method: str, path: str, query: dict[str, str], body: Json, ids: tuple[str, ...]) -> Json:
        kind = path.split("/")[1].removesuffix("s")
        if method == "GET":
            return self._find(kind, query)
        if method == "PATCH":
            (found,) = [one for one in self.kept[kind] if one["id"] == ids[0]] or [None]
            if found is None:
                raise Refused(404, f"no {kind} {ids[0]}")
            found |= {name: value for name, value in body.items() if name != "name"}
            return found
        parent = body.get("registeredModelId", "")
        if path.endswith("/artifacts"):
            kind, parent = "model_artifact", ids[0]
        if parent and parent not in {one["id"] for kept in self.kept.values() for one in kept}:
            raise Refused(404, f"no parent {parent}")
        taken = [one for one in self.kept[kind] if one["name"] == body["name"]]
        if any(self.parents[one["id"]] == parent for one in taken):
            raise Refused(409, f"the {kind} {body['name']} exists already")
        self._last += 1
        made = {**body, "id": str(self._last), "createTimeSinceEpoch": "1767225600000"}
        self.kept[kind].append(made)
        self.parents[made["id"]] = parent
        return made

    def _find(self, kind: str, query: dict[str, str]) -> Json:
        for one in self.kept[kind]:
            if one["name"] == query.get("name") and self.parents[one["id"]] == query.get(
                "parentResourceId", ""
            ):
                return one
        raise Refused(404, f"no {kind} {query}")

    def _validate(self, content: Any, schema: Json, where: str) -> None:
        validator = jsonschema.Draft202012Validator({**schema, "definitions": SCHEMA["definitions"]})
        error = jsonschema.exceptions.best_match(validator.iter_errors(content))
        if error is not None:
            self._violation(f"{where}: {error.json_path}: {error.message}")

    def _violation(self, text: str) -> None:
        self.violations.append(text)
        raise Refused(400, f"invalid argument: {text}")
