"""The pages about a whole run are its own, as they were written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.command_line import tsa

from commands.audit import audit_finished
from launcher.records.page import write_pages
from launcher.records.record import Recorder
from tsa_model.audit import audit_run

PAGES = ("index.html", "stages/audit.html", "stages/model_card.html")


@pytest.fixture
def paged(spoilt: Any) -> Path:
    """A run with the pages that `tsa run` writes at its end."""
    folder: Path = spoilt.places.folder
    (folder / "arguments.json").write_text('{"config": "{}"}')
    Recorder(folder, "demo", {"train-model": ()})
    audit_finished(folder / "stages")
    assert tsa("card", "--model", spoilt.scoring_model, "--output", folder / PAGES[2]) == 0
    write_pages(folder.parent)
    return folder


def test_pages_as_written_are_the_last_link(paged: Path) -> None:
    audit = audit_run(paged)
    assert audit.passed, audit.links[-1].finding
    assert audit.links[-1].name == "pages"
    assert all(Path(page).name in audit.links[-1].finding for page in PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_an_edited_page_breaks_the_chain(paged: Path, page: str) -> None:
    text = (paged / page).read_text()
    (paged / page).write_text(text.replace("</h1>", " of 2027</h1>", 1))
    assert (paged / page).read_text() != text
    audit = audit_run(paged)
    assert (audit.passed, audit.links[-1].name) == (False, "pages")
    assert f"{page.split('/')[-1]} was edited" in audit.links[-1].finding


def test_the_start_page_of_another_record_breaks_the_chain(paged: Path, tmp_path: Path) -> None:
    other = tmp_path / "runs" / "other"
    other.mkdir(parents=True)
    (other / "arguments.json").write_text('{"config": "{}"}')
    Recorder(other, "other", {})
    write_pages(other.parent)
    shutil.copyfile(other / "index.html", paged / "index.html")
    assert "run.json do not belong together" in audit_run(paged).links[-1].finding


def test_an_edited_record_breaks_the_chain_until_the_pages_are_written_again(paged: Path) -> None:
    record = paged / "run.json"
    record.write_text(record.read_text() + "\n")
    assert not audit_run(paged).passed
    write_pages(paged.parent)
    assert audit_run(paged).passed
