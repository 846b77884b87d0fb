"""The audit as one HTML page: the outcome first, then each link."""

from __future__ import annotations

from pathlib import Path

from tsa_model.audit.links import Audit
from tsa_model.files import atomic_file
from tsa_model.pages.render import render_page
from tsa_model.signing import shown_signature

PAGE = "audit.html"
"""In the folder that holds the stages' folders: `../audit.html` from any report of a run."""
TEMPLATE = Path(__file__).with_name("audit.html.j2")


def write_page(audit: Audit, path: str | Path) -> None:
    """Write the page of an audit, complete in itself."""
    with atomic_file(path) as temporary:
        temporary.write_text(render(audit), encoding="utf-8")


def render(audit: Audit) -> str:
    """The page of an audit."""
    return render_page(TEMPLATE, audit=audit, shown_signature=shown_signature)
