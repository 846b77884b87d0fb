"""Child process of a local run: execute a compiled pipeline with kfp's subprocess runner.

`python -m launcher.local.execute FOLDER` reads `pipeline.yaml` and `arguments.json` from FOLDER and writes
all outputs below it; `launcher.local.runner_lines` reads what it prints. It kills itself and its stages as
soon as its standard input closes, so that nothing outlives the command that started it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from pathlib import Path

from kfp import components, local


def _die_with_parent() -> None:
    """Kill this process group (the stages are in it) when the parent's end of standard input closes."""

    def wait() -> None:
        os.read(0, 1)
        os.killpg(os.getpgid(0), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _use_this_interpreter() -> None:
    """Make the `python3` of a component's command this interpreter.

    kfp replaces the text "python3" in every argument, folder names included, by `sys.executable`; the same
    text as replacement leaves them alone, and PATH decides.
    """
    folder = str(Path(sys.executable).parent)
    os.environ["PATH"] = folder + os.pathsep + os.environ.get("PATH", "")
    if shutil.which("python3", path=folder) is None:
        raise FileNotFoundError(f"{folder} has no python3: run from a virtual environment (make setup)")
    sys.executable = "python3"


def main(folder: Path) -> None:
    """Execute the pipeline that lies in `folder`."""
    _die_with_parent()
    _use_this_interpreter()
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "artifacts"),
        workspace_root=str(folder / "tmp" / "workspace"),
        raise_on_error=False,
    )
    pipeline = components.load_component_from_file(str(folder / "pipeline.yaml"))
    pipeline(**json.loads((folder / "arguments.json").read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
