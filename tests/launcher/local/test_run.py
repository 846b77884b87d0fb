"""The local runner, on two tiny stages that can be told to fail in every way a stage can."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from support.tiny_pipeline import tiny

from launcher.compilation import compiled_documents
from launcher.errors import LauncherError
from launcher.local.display import LiveDisplay, PlainDisplay, make_console, make_display
from launcher.local.run import StageError, StageResult, print_results, results_table, run_locally
from tsa_model.progress import Progress

TESTS = Path(__file__).parents[2]
START_TINY = """
import signal
# A shell starts what it puts into the background, this test run perhaps, deaf to SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
from pathlib import Path
from rich.console import Console
from support.tiny_pipeline import tiny
from launcher.compilation import compiled_documents
from launcher.local.run import run_locally
run_locally(compiled_documents(tiny), {"fault": "hang"}, "tiny", Path("runs"), Console())
"""


def run_tiny(runs: Path, terminal: bool = False, **arguments: object) -> tuple[list[StageResult], str]:
    screen = io.StringIO()
    console = Console(file=screen, width=200, force_terminal=terminal)
    results = run_locally(compiled_documents(tiny), arguments, "tiny", runs, console)
    console.print(results_table(results))
    return results, screen.getvalue()


def test_a_run_shows_its_stages_and_keeps_everything_in_its_folder(tmp_path: Path) -> None:
    # kfp replaces "python3" in every argument; neither a folder nor a value of that name may suffer.
    runs = tmp_path / "python3 runs"
    results, screen = run_tiny(runs, words="python3 ", count=3)
    folder = (runs / "latest").resolve()
    assert [path.name for path in runs.iterdir() if not path.is_symlink()] == [folder.name]
    assert [result.name for result in results] == ["write_words", "read_words"]
    assert results[0].key_figure == "3 copies"
    assert (results[0].output / "text").read_text() == "python3 " * 3
    assert (results[0].output / "page.html").read_text() == "<p>words</p>"
    assert (results[1].output / "length").read_text() == "24"
    assert "writing" in (folder / "logs" / "1-write-words.log").read_text()
    assert not (folder / "tmp").exists()
    for words in (
        "[1/2] write_words",
        "word 3/3 so far so good",
        "[2/2] read_words",
        "key figure",
        "3 copies",
    ):
        assert words in screen


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    from launcher.local.folder import new_run_folder

    first, second = new_run_folder(tmp_path, "x"), new_run_folder(tmp_path, "x")
    assert first != second
    assert (tmp_path / "latest").resolve() == second


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "read_words failed\nValueError: the text is bad:\n  it says so itself\nlog: "),
        ("kill", "last words\nKilled\nlog: "),
        ("forget", "read_words ended without writing its output 'length'\nlog: "),
    ],
)
def test_a_failure_names_stage_cause_and_log(tmp_path: Path, fault: str, message: str) -> None:
    with pytest.raises(StageError) as caught:
        run_tiny(tmp_path, fault=fault)
    assert message in str(caught.value)
    log = Path(str(caught.value).rpartition("log: ")[2])
    assert log.name == "2-read-words.log"
    assert "Got executor_input" in log.read_text()


def test_a_runner_that_cannot_start_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"ended before all stages had run\nTypeError: .*no_such_parameter"):
        run_tiny(tmp_path, no_such_parameter=1)


def test_the_live_display_shows_count_and_key_figure() -> None:
    screen = io.StringIO()
    with LiveDisplay(Console(file=screen, width=120, force_terminal=True, color_system=None)) as display:
        display.start(1, 2, "train_model")
        display.progress(Progress(3, 10, "epoch", "val/auroc 0.91 [best]"))
        display.end(12.0, "val AUC 0.93 [epoch 3]")
        display.start(2, 2, "export_onnx")
        display.progress(Progress(7, 0, "row", ""))
        display.fail()
    last = screen.getvalue()[screen.getvalue().rindex("[1/2] train_model") :]
    assert "val AUC 0.93 [epoch 3]" in last
    assert "[2/2] export_onnx" in last
    assert "failed" in last


def test_display_suits_where_it_is_shown() -> None:
    assert isinstance(make_display(Console(file=io.StringIO(), force_terminal=True)), LiveDisplay)
    assert isinstance(make_display(Console(file=io.StringIO(), force_terminal=False)), PlainDisplay)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_command(tmp_path: Path, ending: signal.Signals) -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", START_TINY],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = tmp_path / "runs" / "latest" / "logs" / "2-read-words.log"
    stage = _wait_for(lambda: _hanging_process(log))
    command.send_signal(ending)
    try:
        command.wait(30)
    finally:
        command.kill()
    assert command.returncode != 0
    _wait_for(lambda: not Path(f"/proc/{stage}").exists() or _is_zombie(stage))


def _hanging_process(log: Path) -> int:
    """Process number that the second stage printed; 0 before it did."""
    lines = log.read_text().splitlines() if log.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("hanging ")), 0)


def _is_zombie(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _wait_for(condition, seconds: float = 60.0):  # type: ignore[no-untyped-def]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"did not happen within {seconds} s")


def test_a_console_that_nobody_reads_ends_the_command_in_words() -> None:
    with pytest.raises(BrokenPipeError):
        make_console().on_broken_pipe()


def test_the_closing_table_fits_sixty_columns(tmp_path: Path) -> None:
    screen = io.StringIO()
    figure = "test AUC 0.5262 (logistic regression on the order alone 0.7397), 682 orders scored"
    output = tmp_path / "a" / "generate-scores"
    print_results(Console(file=screen, width=60), [StageResult("generate_scores", 1234.5, figure, output)])
    lines = screen.getvalue().splitlines()
    assert lines[-1] == str(output)  # whole, so that it can be copied
    assert max(map(len, lines[:-1])) <= 60
    assert "".join("".join(lines).split()).count("testAUC0.5262") == 1


def test_a_folder_for_runs_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        LauncherError, match=r"runs cannot be written to .*file/runs \(Not a directory\): name an"
    ):
        run_tiny(tmp_path / "file" / "runs")
    with pytest.raises(LauncherError, match=r"runs cannot be written to /proc/runs"):
        run_tiny(Path("/proc/runs"))
