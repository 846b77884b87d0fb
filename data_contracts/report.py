"""The contract report: one HTML file, readable offline, verdict first."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from tsa_model.files import atomic_file


def write_report(path: str | Path, result: dict[str, Any]) -> None:
    """Write a contract result as a page.

    Args:
        path: HTML file to write.
        result: as in the JSON result.
    """
    rows = "".join(
        f"<tr><td>{'ok' if f['passed'] else f['severity']}</td><td>{escape(f['sentence'])}</td>"
        f"<td>{f['bad_rows']:,}</td></tr>"
        for f in result["findings"]
    )
    verdict = "holds" if result["passed"] else "is broken"
    with atomic_file(path) as temporary:
        temporary.write_text(
            f"<!doctype html><meta charset=utf-8><h1>The contract {verdict}</h1><table>{rows}</table>",
            "utf-8",
        )
