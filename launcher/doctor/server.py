"""A Kubeflow Pipelines server, as the connection's account sees it; nothing is made or changed there."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from launcher.doctor.finding import Finding, fine, looked, missing, note
from launcher.errors import LauncherError
from launcher.kubeflow.answers import ApiError
from launcher.kubeflow.connection import Connection
from launcher.kubeflow.server import PipelinesServer
from launcher.stages import ClusterSettings

AUDIENCE = "pipelines.kubeflow.org"
SHORT_LIFE_S = 3600
HEALTH = {"multi_user", "pipeline_store"}
"""What a server says of itself."""
LISTS = {"experiments": "experiments", "recurringruns": "recurringRuns", "runs": "runs"}


def check_server(connection: Connection, experiment: str) -> Iterator[Finding]:
    """What submitting and scheduling need of a server.

    Args:
        connection: how to reach it.
        experiment: name of the experiment that runs would appear in.
    """
    server = PipelinesServer(connection)
    yield from looked("token", lambda: _token(connection))
    try:
        yield _server(server)
    except (LauncherError, ValueError, OSError) as error:
        yield missing("server", str(error), "")
        yield note("rights, experiment", "not asked for", "they are when the server answers")
        return
    namespace = f"namespace {connection.namespace!r}" if connection.namespace else "no namespace"
    for path, key in LISTS.items():
        what = f"right to see {path}"
        yield from looked(what, partial(_right, server, path, key, what, namespace))
    yield from looked("experiment", lambda: _experiment(server, experiment))


def check_settings(settings: ClusterSettings, image: str | None) -> Iterator[Finding]:
    """Whether a cluster could pull the images."""
    images = {image} if image else {stage.image or settings.image or "" for stage in settings.stages.values()}
    for name in sorted(images):
        if not name or name.startswith("localhost/"):
            shown = name or "localhost/tsa-python:dev"
            yield missing("image", f"{shown}: a cluster cannot pull it", "push it, and name it with --image")
        elif "@" not in name:
            yield note("image", f"{name} has no digest", "a tag may be moved: name the digest")
        else:
            yield fine("image", name)


def _token(connection: Connection) -> Finding:
    token = connection.bearer()
    if not token:
        return note("token", "none", "right for a server without log-in; else give --token-file")
    claims = _claims(token)
    if claims is None:
        return fine("token", "given; it is no JWT, so its life is not known")
    audience = claims.get("aud", [])
    audience = [audience] if isinstance(audience, str) else audience
    if audience and AUDIENCE not in audience:
        return note(
            "token",
            f"it is for {', '.join(map(str, audience))}",
            f"Kubeflow's own check wants the audience {AUDIENCE}: kubectl create token ACCOUNT --audience "
            f"{AUDIENCE}",
        )
    left = float(claims.get("exp", 0)) - time.time()
    if "exp" in claims and left <= 0:
        when = datetime.fromtimestamp(float(claims["exp"]), UTC)
        return missing("token", f"it expired at {when:%Y-%m-%d %H:%M} UTC", "make a new one")
    if "exp" in claims and left < SHORT_LIFE_S and connection.token_file is None:
        return note(
            "token", f"it expires in {left / 60:.0f} minutes", "--wait needs a --token-file that is renewed"
        )
    return fine("token", "given" + (f", good for {left / 3600:.1f} hours" if "exp" in claims else ""))


def _claims(token: str) -> Mapping[str, Any] | None:
    """What a JWT says of itself; it is not verified here, the server does that."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        content = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _server(server: PipelinesServer) -> Finding:
    health = server.health()
    if set(health) - HEALTH:
        remedy = "the host lacks a path such as /pipeline, or something else answers in its place"
        return missing(
            "server", f"{server.connection.host} is no Kubeflow Pipelines API of version 2", remedy
        )
    multi_user = bool(health.get("multi_user"))
    kind = "multi-user" if multi_user else "single-user"
    namespace = server.connection.namespace
    where = f"{server.connection.host}: {kind}"
    if multi_user and not namespace:
        return missing("server", where, "give --namespace: everything there belongs to a profile's namespace")
    if not multi_user and namespace:
        return note("server", where, f"leave --namespace {namespace} out: a single-user server has none")
    return fine("server", where)


def _right(server: PipelinesServer, path: str, key: str, what: str, namespace: str) -> Finding:
    try:
        server.first(path, key)
    except ApiError as error:
        remedy = "kubeflow-edit in that namespace gives it (docs/CLUSTER.md)" if error.status == 403 else ""
        return missing(what, str(error), remedy)
    return fine(what, namespace)


def _experiment(server: PipelinesServer, name: str) -> Finding:
    found = server.find_experiment(name)
    if found is None:
        return fine("experiment", f"{name!r} will be made")
    if found.get("storage_state") == "ARCHIVED":
        return missing("experiment", f"{name!r} is archived", "restore it, or name another with --experiment")
    return fine("experiment", f"{name!r}")
