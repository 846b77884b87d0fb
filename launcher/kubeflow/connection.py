"""Where the Kubeflow Pipelines server is and how to get in, from options, environment or a file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BeforeValidator,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    SecretStr,
    ValidationError,
)

from launcher.kubeflow.variables import FILE, FILE_VARIABLE, VARIABLES
from tsa_model.settings import Settings, load_yaml

TOKEN_VOLUME = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow mounts a pod's token for its own API."""


class ConnectionProblem(ValueError):
    """The settings of the connection do not fit."""


def _address(host: Any) -> Any:
    if not isinstance(host, str) or not host:
        return host
    if "://" not in host:
        host = f"https://{host}"
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("is no address like https://kubeflow.example/pipeline")
    if parts.username or parts.password:
        raise ValueError("holds a password: give a token instead")
    path = parts.path.rstrip("/").removesuffix("/apis/v2beta1")
    return f"{parts.scheme}://{parts.netloc}{path}"


Address = Annotated[str, BeforeValidator(_address)]


class Connection(Settings):
    """How to reach the server; secrets show as stars wherever they are printed."""

    host: Address
    """Address of the API; behind the Kubeflow dashboard it ends in /pipeline. Without scheme: https."""
    ui_host: Address | None = None
    """Address that people open in a browser, for links; None = `host`."""
    namespace: str = ""
    """Profile namespace of a multi-user installation; empty in a single-user one."""
    token: SecretStr | None = None
    """Bearer token."""
    token_file: Path | None = None
    """File with the bearer token, read again for every request because Kubernetes renews it."""
    ca_file: Path | None = None
    """Certificate authority of the server, PEM; None = the usual ones."""
    proxy: SecretStr | None = None
    """Proxy for all requests; None = what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say."""
    service_account: str = ""
    """Kubernetes service account of the runs; empty = the installation's."""
    timeout_s: PositiveFloat = 60.0
    """Longest wait for one answer."""
    retries: NonNegativeInt = 4
    """Further tries after an answer 5xx or a lost connection."""
    retry_wait_s: NonNegativeFloat = 0.5
    """Wait before the first of them; it doubles each time."""
    poll_s: PositiveFloat = 1.0
    """Wait between the first looks at a run; it grows to 15 s."""

    def bearer(self) -> str:
        """The token to send now; empty = none.

        Raises:
            ConnectionProblem: the token file cannot be read.
        """
        if self.token is not None:
            return _one_word(self.token.get_secret_value(), "token")
        if self.token_file is None:
            return ""
        try:
            content = self.token_file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConnectionProblem(
                f"token file {self.token_file} cannot be read: {error.strerror or error}"
            ) from None
        except UnicodeDecodeError:
            raise ConnectionProblem(f"token file {self.token_file} is no text") from None
        return _one_word(content, f"token file {self.token_file}")

    def secrets(self) -> set[str]:
        """What must never show: a token that was given, the proxy's address and its password.

        The token of a file is read, and known, only when it is sent.
        """
        found = {self.token.get_secret_value().strip()} if self.token is not None else set()
        if self.proxy is not None:
            proxy = self.proxy.get_secret_value()
            found |= {proxy, urlsplit(proxy).password or ""} - {""}
        return found

    def run_link(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.ui_host or self.host}/#/runs/details/{run_id}"

    def schedule_link(self, recurring_run_id: str) -> str:
        """The page of a recurring run."""
        return f"{self.ui_host or self.host}/#/recurringrun/details/{recurring_run_id}"

    @classmethod
    def find(
        cls,
        options: Mapping[str, Any],
        file: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Connection:
        """Collect the settings: an option counts more than the environment, that more than the file.

        Args:
            options: setting → value of the command line; None = not given.
            file: the connection file; None = as the environment names it, else the usual one if it exists.
            environment: environment variables; None = this process's.

        Raises:
            ConnectionProblem: a file cannot be read, or a setting is missing, unknown or refused.
        """
        environment = os.environ if environment is None else environment
        named = file or (Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None)
        if named is None and FILE.expanduser().exists():
            named = FILE.expanduser()
        sources = [
            {} if named is None else _read(named, set(cls.model_fields)),
            {
                name: environment[variable]
                for name, variable in VARIABLES.items()
                if environment.get(variable)
            },
            {name: value for name, value in options.items() if value is not None},
        ]
        content: dict[str, Any] = {}
        for source in sources:
            if source.keys() & {"token", "token_file"}:  # a token, however given, replaces one from below
                content = {name: value for name, value in content.items() if not name.startswith("token")}
            content |= source
        if not content.keys() & {"token", "token_file"} and TOKEN_VOLUME.exists():
            content["token_file"] = TOKEN_VOLUME
        if not content.get("host"):
            raise ConnectionProblem(
                f"no host: give --host or {VARIABLES['host']}, or write it into {FILE} (docs/CONNECTION.md)"
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ConnectionProblem(without_values(error)) from None


def _one_word(text: str, where: str) -> str:
    """A token as a header can carry it; what is wrong is said without it."""
    token = text.strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        lines = len(token.splitlines())
        raise ConnectionProblem(
            f"{where} holds {f'{lines} lines' if lines > 1 else 'blanks or special characters'}: "
            "a bearer token is one line of letters, digits and punctuation"
        )
    return token


def without_values(error: ValidationError) -> str:
    """What was wrong, without the values: one of them may be a secret."""
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return "connection: " + "; ".join(lines)


def _read(path: Path, known: set[str]) -> dict[str, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConnectionProblem(f"connection file {path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConnectionProblem(f"connection file {path} is not valid YAML") from None
    if not isinstance(content, dict):
        raise ConnectionProblem(f"connection file {path} is not a mapping of settings")
    for name in content.keys() - known:
        alike = difflib.get_close_matches(str(name), known, 1)
        hint = f"did you mean {alike[0]!r}?" if alike else f"there are {', '.join(sorted(known))}"
        raise ConnectionProblem(f"connection file {path}: there is no setting {name!r}; {hint}")
    return {name: value for name, value in content.items() if value is not None}  # "namespace:" is not set
