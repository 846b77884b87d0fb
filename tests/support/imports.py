"""What a fresh process has loaded after each of some imports: one process answers several tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.shared import SharedFolder

STEPS = {
    "package": "import tsa_model",
    "settings": "tsa_model.ModelConfig; import tsa_model.settings.run",
    "network": "tsa_model.build_network",
    "stages without the libraries of pages": (
        "sys.modules.update(dict.fromkeys(('jinja2', 'markupsafe', 'matplotlib'))); "
        "import tsa_model.equivalence.gate, tsa_model.equivalence.page.verdict_page; "
        "import tsa_model.promotion.stage, tsa_model.scoring.stage; "
        "[sys.modules.pop(name) for name in ('jinja2', 'markupsafe', 'matplotlib')]"
    ),
    "training": "tsa_model.TSASingleSeq",
}
"""Name → statements; a process carries them out in this order and fails with the first that fails."""
SCRIPT = """
import json, sys
loaded = {}
for name, statements in json.loads(sys.argv[1]).items():
    exec(statements)
    loaded[name] = sorted(name for name, module in sys.modules.items() if module is not None)
print(json.dumps(loaded))
"""


def loaded_after(shared_folder: SharedFolder) -> dict[str, set[str]]:
    """Step → names of the modules that are loaded then."""
    folder = shared_folder("imports", _import_all)
    return {step: set(names) for step, names in json.loads((folder / "loaded.json").read_text()).items()}


def _import_all(folder: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, json.dumps(STEPS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "loaded.json").write_text(done.stdout)
