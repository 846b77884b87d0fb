"""`tsa monitor` on the files of a run."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from support.scored_run import Scored

from commands.monitor import command
from tsa_model.monitoring.documents import Monitoring
from tsa_model.sealed_pages import check_page


def test_the_command_writes_document_page_and_text(scored: Scored, tmp_path: Path) -> None:
    events = tmp_path / "events.parquet"
    scored.events.to_parquet(events)
    words = ["--reference", str(scored.scores), "--scores", str(scored.scores / "scores.parquet")]
    words += ["--events", str(events), "--output", str(tmp_path / "out"), "--prometheus"]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 0, done.output
    found = Monitoring.load(tmp_path / "out" / "monitoring.json")
    assert f"{found.level}, {len(found.days)} days" in done.output
    check_page(tmp_path / "out" / "monitoring.html", tmp_path / "out" / "monitoring.json", str(found.sha256))
    assert "tsa_monitor_level" in (tmp_path / "out" / "monitoring.prom").read_text()
    again = CliRunner().invoke(command, words)  # its own files may be replaced
    assert again.exit_code == 0, again.output


def test_a_folder_with_other_content_is_left_alone(scored: Scored, tmp_path: Path) -> None:
    (tmp_path / "monitoring.json").write_text("mine")
    words = ["--reference", str(scored.scores), "--scores", str(scored.scores), "--output", str(tmp_path)]
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 1
    assert "was not written by this program" in done.output
    assert (tmp_path / "monitoring.json").read_text() == "mine"


def test_a_folder_without_a_run_is_no_reference(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["--reference", str(tmp_path), "--scores", str(tmp_path)])
    assert done.exit_code == 1
    assert "is not the scores folder of a run" in done.output
