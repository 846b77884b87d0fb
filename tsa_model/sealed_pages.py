"""Pages that state which document they show, and the digest of their own text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tsa_model.files import atomic_file
from tsa_model.sealed import check_together
from tsa_model.signing import check_signature, sign

SEAL = "<!-- seal about={about} signature={signature} sha256={sha256} -->\n"
SEAL_PATTERN = re.compile(r"<!-- seal about=([0-9a-f]{64}) signature=([^\n]*) sha256=([0-9a-f]{64}) -->\n\Z")
REMEDY = "take the figures from the document, or run the stage again"


def write_page(path: str | Path, page: str, about: str | None) -> None:
    """Write an HTML page whole, with its seal as the last line.

    Args:
        path: file to write.
        page: the page's text.
        about: `sha256` of the document it shows.

    Raises:
        ValueError: the document is not sealed.
    """
    if about is None:
        raise ValueError(f"{path} would show a document that is not sealed: seal it first")
    text = page if page.endswith("\n") else f"{page}\n"
    digest = _digest(text, about)
    seal = SEAL.format(about=about, signature=sign(digest), sha256=digest)
    with atomic_file(path) as temporary:
        temporary.write_text(text + seal, encoding="utf-8")


def check_page(path: Path, document: Path, about: str) -> None:
    """Refuse a page that was changed after it was written, or that shows another document.

    Args:
        path: of the page.
        document: path of the document it should show, for the message.
        about: `sha256` of that document.

    Raises:
        ValueError: the page has no seal, its text is not the sealed one, it shows another document, or there
            is a key and its signature was not made with it.
    """
    text = path.read_bytes().decode("utf-8", errors="replace")
    seal = SEAL_PATTERN.search(text)
    if seal is None:
        raise ValueError(f"{path} does not end with the seal of a page; {REMEDY}")
    shown, signature, stated = seal.groups()
    if _digest(text[: seal.start()], shown) != stated:
        raise ValueError(f"{path} was edited: its text has not the SHA-256 {stated[:12]} it states; {REMEDY}")
    check_signature(path, stated, signature)
    check_together("the document shown is", (path, shown), (document, about), REMEDY)


def _digest(text: str, about: str) -> str:
    return hashlib.sha256(f"page about {about}\n{text}".encode()).hexdigest()
