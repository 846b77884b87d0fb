"""Run descriptions by name, by path, or as the text itself."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from tsa_model.settings.base import load_yaml


def shipped_configs() -> dict[str, Path]:
    """Name → file of the run descriptions that come with the project."""
    try:
        folder = Path(str(resources.files("tsa_model.configs")))
    except ModuleNotFoundError:  # a plain checkout, not an installation
        folder = Path(__file__).resolve().parents[2] / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_description(source: str | Path) -> dict[str, Any]:
    """Return the mapping in a shipped name, a YAML/JSON path, or YAML/JSON text.

    Raises:
        ValueError: `source` is none of these, or its content is not a mapping.
    """
    origin, text = "the given text", str(source)
    if "\n" not in text and not text.lstrip().startswith("{"):
        path = shipped_configs().get(text, Path(text))
        if not path.is_file():
            names = ", ".join(shipped_configs())
            raise ValueError(
                f"no description {text!r}: neither a file nor one of {names or '(none shipped)'}"
            )
        origin, text = str(path), path.read_text(encoding="utf-8")
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{origin} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{origin} is not a mapping of settings but {type(content).__name__}")
    return content
