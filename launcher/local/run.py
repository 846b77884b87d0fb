"""Run the pipeline on this machine and tell its story: stage by stage, with logs, ending in a table."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from launcher.compilation import Documents, output_types, stage_names, stages_before, write_documents
from launcher.errors import LauncherError
from launcher.local.display import Display, make_display
from launcher.local.failure import exception_text
from launcher.local.folder import clear, new_run_folder
from launcher.local.runner_lines import Ended, Started, read_events
from launcher.records.record import Recorder
from tsa_model import progress, stopping
from tsa_model.files import write_json
from tsa_model.program import THREAD_SPINS

GRACE_S = 5.0
"""Seconds between asking the stages to end and killing them."""


class StageResult(NamedTuple):
    """One finished stage."""

    name: str
    seconds: float
    key_figure: str
    output: Path


class StageError(LauncherError):
    """A stage failed; the message says which, why, and where its log lies."""


def run_locally(
    documents: Documents,
    arguments: dict[str, Any],
    name: str,
    runs: Path,
    console: Console,
    began: Callable[[Path], None] = lambda folder: None,
) -> list[StageResult]:
    """Execute a compiled pipeline in a fresh folder below `runs`, showing its progress on `console`.

    Args:
        documents: the compiled pipeline.
        arguments: values of the pipeline's parameters.
        name: first part of the run folder's name.
        runs: folder of all runs; `latest` in it points to the newest.
        console: where people read.
        began: is told the run's folder when its record has begun.

    Returns:
        The stages in the order they ran.

    Raises:
        StageError: a stage failed, or ended without one of its outputs.
    """
    folder = new_run_folder(runs, name)
    console.print(f"Run folder: {folder}", markup=False, highlight=False, soft_wrap=True)
    write_documents(documents, folder / "pipeline.yaml")
    write_json(folder / "arguments.json", arguments)
    recorder = Recorder(folder, name, stages_before(documents))
    try:
        began(folder)
        with make_display(console) as display, _child(folder) as child:
            assert child.stdout is not None
            results = _watch(child.stdout, documents, folder, display, recorder)
            child.wait()
        if len(results) < len(stage_names(documents)):
            log = folder / "logs" / "runner.log"
            raise StageError(
                f"the run ended before all stages had run\n{exception_text(log.read_text())}\nlog: {log}"
            )
    except StageError:
        recorder.close("failed")
        raise
    except BaseException:
        recorder.close("stopped")
        raise
    recorder.close("succeeded")
    return results


NARROW = 110
"""With fewer columns than this the outputs lie below the table, not in it."""


def print_results(console: Console, results: list[StageResult]) -> None:
    """Print the closing table: stage, seconds, key figure, where its output lies."""
    is_narrow = console.width < NARROW
    console.print(results_table(results, not is_narrow))
    if is_narrow and results:
        console.print("Outputs:", style="bold")
        for result in results:
            console.print(str(result.output), markup=False, highlight=False, soft_wrap=True)


def results_table(results: list[StageResult], with_output: bool = True) -> Table:
    """The closing table, with or without where the outputs lie."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    table.add_column("key figure", overflow="fold")
    if with_output:
        table.add_column("output", overflow="fold")
    for result in results:
        output = (str(result.output),) if with_output else ()
        table.add_row(result.name, f"{result.seconds:.1f}", result.key_figure, *output)
    table.add_row("all", f"{sum(result.seconds for result in results):.1f}", style="bold")
    return table


def _wait_for_the_end_of(group: int) -> None:
    """Wait until no process of a killed group runs, so that none writes while its files are cleared."""
    end = time.monotonic() + GRACE_S
    while time.monotonic() < end:
        running = [path for path in Path("/proc").glob("[0-9]*/stat") if _runs_in(path, group)]
        if not running:
            return
        time.sleep(0.02)


def _runs_in(stat: Path, group: int) -> bool:
    try:
        state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
    except (OSError, ValueError):
        return False  # it has ended meanwhile
    return state not in ("Z", "X") and int(process_group) == group


@contextmanager
def _child(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Start `launcher.local.execute` in a process group of its own, of which nothing stays behind.

    Its standard input is a pipe that only this process holds: when this process dies, the child notices.
    """
    ours = str(Path(__file__).resolve().parents[2])
    environment = {
        "GOMP_SPINCOUNT": THREAD_SPINS,
        **os.environ,
        # Stages run the code this process runs, wherever it was started and whatever is installed beside it.
        "PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",  # progress must arrive while it happens
        "TMPDIR": str((folder / "tmp").resolve()),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "launcher.local.execute", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        for request in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, request)
                child.wait(GRACE_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        _wait_for_the_end_of(child.pid)
        clear(folder)


def _watch(
    output: Iterable[str], documents: Documents, folder: Path, display: Display, recorder: Recorder
) -> list[StageResult]:
    """Follow the child's output to its end; logs go to `logs/`, results come back."""
    total = len(stage_names(documents))
    results: list[StageResult] = []
    began = 0.0
    with ExitStack() as logs:
        log = runner_log = logs.enter_context(open(folder / "logs" / "runner.log", "w", encoding="utf-8"))
        for event in read_events(output):
            stopping.check()
            if isinstance(event, Started):
                number = len(results) + 1
                name = f"{number}-{event.stage}.log"
                log = logs.enter_context(open(folder / "logs" / name, "w", encoding="utf-8"))
                began = time.monotonic()
                recorder.start(event.stage, Path(log.name))
                display.start(number, total, _shown(event.stage))
            elif isinstance(event, Ended):
                _link_outputs(folder, documents, event.stage)
                if not event.succeeded:
                    display.fail()
                    recorder.fail(event.stage, exception_text(Path(log.name).read_text(encoding="utf-8")))
                    raise _stage_error(event.stage, Path(log.name))
                seconds = time.monotonic() - began
                results.append(_collect(event.stage, seconds, documents, folder, Path(log.name)))
                recorder.end(event.stage, seconds, results[-1].key_figure)
                display.end(seconds, results[-1].key_figure)
            else:
                target = log if event.stage else runner_log
                target.write(event.text + "\n")
                target.flush()
                if event.stage and (reached := progress.parse(event.text)):
                    display.progress(reached)
    return results


def _collect(stage: str, seconds: float, documents: Documents, folder: Path, log: Path) -> StageResult:
    """Read what a finished stage left; kfp calls a stage successful even when an output is missing."""
    output = folder / "stages" / stage
    for name in output_types(documents, stage):
        if not (output / name).exists():
            raise StageError(f"{_shown(stage)} ended without writing its output {name!r}\nlog: {log}")
    content = json.loads((output / "executor_output.json").read_text(encoding="utf-8"))
    metadata = [
        artifact.get("metadata", {})
        for artifacts in content.get("artifacts", {}).values()
        for artifact in artifacts["artifacts"]
    ]
    figures = [str(entry["key_figure"]) for entry in metadata if "key_figure" in entry]
    return StageResult(_shown(stage), seconds, "; ".join(figures), output)


def _link_outputs(folder: Path, documents: Documents, stage: str) -> None:
    """Make a stage's outputs easy to find, also after a failure: `stages/<stage>`, pages as `.html`."""
    stages = folder / "stages"
    if not stages.is_symlink():
        (made,) = (folder / "artifacts").iterdir()
        stages.symlink_to(made.relative_to(folder))
    for name, kind in output_types(documents, stage).items():
        page = stages / stage / f"{name}.html"
        if kind == "system.HTML" and page.with_name(name).exists():
            # A browser goes by the name of the file that a symbolic link leads to, and would show plain text.
            page.hardlink_to(page.with_name(name))


def _stage_error(stage: str, log: Path) -> StageError:
    return StageError(
        f"{_shown(stage)} failed\n{exception_text(log.read_text(encoding='utf-8'))}\nlog: {log}"
    )


def _shown(stage: str) -> str:
    """A stage's name as its file and function have it; kfp writes hyphens."""
    return stage.replace("-", "_")
