"""The audit as one HTML page: the outcome first, then each link."""

from __future__ import annotations

from pathlib import Path

from tsa_model.audit.links import Audit
from tsa_model.files import atomic_file
from tsa_model.pages.render import render_page
from tsa_model.sealed_pages import write_page as write_sealed_page
from tsa_model.signing import shown_signature

NO_DOCUMENTS = ("champion", "pages")
"""Links that others change after the run."""
TEMPLATE = Path(__file__).with_name("audit.html.j2")


def write_page(audit: Audit, path: str | Path) -> None:
    """Write the page of an audit; that of a whole chain is sealed as a page about its last document."""
    documents = [link for link in audit.links if link.name not in NO_DOCUMENTS]
    if audit.passed and documents:
        write_sealed_page(path, render(audit), documents[-1].digest)
        return
    with atomic_file(path) as temporary:
        temporary.write_text(render(audit), encoding="utf-8")


def render(audit: Audit) -> str:
    """The page of an audit."""
    return render_page(TEMPLATE, audit=audit, shown_signature=shown_signature)
