"""ONNX Runtime's own builds send usage data and keep a device id, unless told otherwise before they load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SUPPRESSED_BY = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")
SCORE = """
import sys
from onnx import TensorProto, helper, save
from tsa_model.export.session import ScoringSession, SessionSettings

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch"]) for name in "xy")
graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "negative", [x], [y])
opset = helper.make_opsetid("", 18)
save(helper.make_model(graph, opset_imports=[opset], ir_version=10), sys.argv[1])
session = ScoringSession(sys.argv[1], SessionSettings())
print(session.output_names)
"""


def test_a_session_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in SUPPRESSED_BY}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(tmp_path / "model.onnx")],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip() == "['y']", done.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*") if "onnxruntime" in str(path)] == []
