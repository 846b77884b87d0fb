"""A page shows one document and states the digest of its own text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsa_model.sealed_pages import check_page, write_page
from tsa_model.signing import KEY_VARIABLE

DOCUMENT = Path("verdict.json")
ABOUT, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    write_page(path, "<html><p>AUC .903</p></html>", ABOUT)
    return path


def test_a_page_as_written_is_accepted(page: Path) -> None:
    check_page(page, DOCUMENT, ABOUT)


def test_an_edited_page_is_refused(page: Path) -> None:
    page.write_text(page.read_text().replace(".903", ".993"))
    with pytest.raises(ValueError, match=r"report\.html was edited"):
        check_page(page, DOCUMENT, ABOUT)


@pytest.mark.parametrize("added", ["<p>more</p>", "\n", "<!-- seal -->\n"])
def test_text_behind_the_seal_is_refused(page: Path, added: str) -> None:
    page.write_text(page.read_text() + added)
    with pytest.raises(ValueError, match="does not end with the seal"):
        check_page(page, DOCUMENT, ABOUT)


def test_bytes_that_are_no_text_are_refused(page: Path) -> None:
    page.write_bytes(b"\xff" + page.read_bytes())
    with pytest.raises(ValueError, match="was edited"):
        check_page(page, DOCUMENT, ABOUT)


def test_the_page_of_another_document_is_refused(page: Path) -> None:
    with pytest.raises(ValueError, match=r"report\.html and verdict\.json do not belong together"):
        check_page(page, DOCUMENT, OTHER)


def test_naming_another_document_breaks_the_seal(page: Path) -> None:
    page.write_text(page.read_text().replace(ABOUT, OTHER))
    with pytest.raises(ValueError, match="was edited"):
        check_page(page, DOCUMENT, OTHER)


def test_with_a_key_an_unsigned_page_is_refused(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a key of the release team")
    with pytest.raises(ValueError, match="is not signed"):
        check_page(page, DOCUMENT, ABOUT)
    write_page(page, "<html></html>", ABOUT)
    check_page(page, DOCUMENT, ABOUT)
    monkeypatch.setenv(KEY_VARIABLE, "a key of somebody else")
    with pytest.raises(ValueError, match="made with another key"):
        check_page(page, DOCUMENT, ABOUT)


def test_a_document_without_a_seal_gets_no_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not sealed"):
        write_page(tmp_path / "report.html", "<html></html>", None)
    assert not list(tmp_path.iterdir())
