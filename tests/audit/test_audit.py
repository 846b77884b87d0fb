"""The chain of a run is walked again, link by link, up to the first break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.chain import Chain, compare
from support.command_line import tsa
from support.pages import table_lines

from tsa_model.audit import audit_model, audit_run
from tsa_model.promotion import Comparison, Registry
from tsa_model.signing import KEY_VARIABLE

LINKS = ["events", "store", "model", "verdict", "onnx", "calibrators", "scores", "online"]
LINKS += ["comparison", "pages"]


def test_a_run_is_walked_from_the_events_to_the_comparison(chain: Chain) -> None:
    audit = audit_run(chain.places.folder)
    assert [link.name for link in audit.links] == LINKS
    assert audit.passed, audit.links[-1].finding
    assert all(len(link.digest) == 64 for link in audit.links)
    assert audit.signed == "not signed"


def test_the_command_prints_every_link(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    assert tsa("audit", "--run", chain.places.folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == LINKS
    assert {line.split()[0] for line in lines[:-1]} == {"ok"}
    assert "the chain is whole" in lines[-1]
    assert "not signed" in lines[-1]


def test_the_first_break_ends_the_command(
    spoilt: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt.exchange("store")
    page = tmp_path / "audit.html"
    assert tsa("audit", "--run", spoilt.places.folder, "--json", "--page", page) == 1
    found = json.loads(capsys.readouterr().out)
    assert [link["passed"] for link in found["links"]] == [True, False]
    assert found["not_reached"] == LINKS[2:]
    assert found["passed"] is False
    text = page.read_text()
    assert "The chain is broken" in text
    assert any("store" in line and "do not belong" in line for line in table_lines(text).splitlines())


def test_a_missing_artifact_is_a_break(spoilt: Any) -> None:
    spoilt.places.verdict.unlink()
    audit = audit_run(spoilt.places.folder)
    assert audit.links[-1].name == "verdict"
    assert "is missing" in audit.links[-1].finding


def test_a_folder_without_stages_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tsa("audit", "--run", tmp_path) == 1
    assert "is not the folder of a run" in capsys.readouterr().err


def test_an_edited_comparison_is_a_break(spoilt: Any) -> None:
    spoilt.edit(spoilt.places.comparison, rows=10**6)
    audit = audit_run(spoilt.places.folder)
    assert audit.links[-1].name == "comparison"
    assert "was edited" in audit.links[-1].finding
    with pytest.raises(ValueError, match="was edited"):
        Comparison.load(spoilt.places.comparison)


@pytest.mark.parametrize("suffix", ["", ".html"])
@pytest.mark.parametrize("place", ["report", "comparison_report"])
def test_an_edited_page_is_a_break(spoilt: Any, place: str, suffix: str) -> None:
    shown = getattr(spoilt.places, place)
    page = shown.with_name(f"{shown.name}{suffix}")  # a run has the page under this name too, for browsers
    page.write_text(shown.read_text().replace("</html>", "<p>all is well</p></html>"))
    audit = audit_run(spoilt.places.folder)
    assert audit.links[-1].name == {"report": "scores", "comparison_report": "comparison"}[place]
    assert f"{page} was edited" in audit.links[-1].finding


@pytest.fixture
def registry(spoilt: Any, tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    registry.init()
    compare(spoilt.places, spoilt.chain.run, str(registry.directory), promote=True)
    return registry


def test_a_champion_is_followed_into_its_registry(registry: Registry, spoilt: Any) -> None:
    audit = audit_run(spoilt.places.folder, registry.directory)
    assert [link.name for link in audit.links] == [*LINKS[:-1], "champion", "pages"]
    assert audit.passed, audit.links[-1].finding
    assert "the model in use is this one" in audit.links[-2].finding
    found = audit_model(registry.champion_dir())
    assert [link.name for link in found.links] == ["onnx", "calibrators", "champion"]
    assert found.passed


def test_an_edited_pointer_is_refused(registry: Registry) -> None:
    path = registry.directory / "champion.json"
    path.write_text(path.read_text().replace("promote", "rollback"))
    with pytest.raises(ValueError, match=r"champion\.json was edited"):
        registry.champion_dir()


def test_with_a_key_documents_are_signed_and_signatures_are_asked_for(
    spoilt: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsigned = spoilt.places.verdict.read_bytes()
    monkeypatch.setenv(KEY_VARIABLE, "a key of more than 16 characters")
    with pytest.raises(ValueError, match=f"verdict is not signed, and {KEY_VARIABLE} is set"):
        spoilt.export()
    spoilt.forge(spoilt.places.verdict)
    signature = json.loads(spoilt.places.verdict.read_text())["signature"]
    assert signature.startswith("hmac-sha256:")
    assert audit_run(spoilt.places.folder).links[-1].finding.endswith("where the key is known")
    monkeypatch.setenv(KEY_VARIABLE, "another key of more than 16 characters")
    with pytest.raises(ValueError, match=r"verdict and the key in .* do not belong together") as caught:
        spoilt.export()
    assert "another key of" not in str(caught.value)
    spoilt.places.verdict.write_bytes(unsigned)


def test_a_key_that_is_too_short_is_refused(spoilt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "short")
    with pytest.raises(ValueError, match=f"{KEY_VARIABLE} has 5 characters") as caught:
        spoilt.export()
    assert "short:" not in str(caught.value)


def test_a_run_may_demand_signatures(spoilt: Any) -> None:
    from dataclasses import replace

    strict = replace(spoilt, chain=replace(spoilt.chain, run=spoilt.chain.run.changed(signing="required")))
    for stage in (strict.export, strict.score, strict.compare):
        with pytest.raises(ValueError, match="asks for signed documents"):
            stage()
