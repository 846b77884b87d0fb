from __future__ import annotations

from launcher.local.runner_lines import Ended, Printed, Started, read_events

RED, GREEN, CYAN, RESET = "\x1b[91m", "\x1b[92m", "\x1b[96m", "\x1b[0m"


def test_stages_lines_and_ends() -> None:
    lines = [
        f"17:16:54.123 - INFO - Running pipeline: {CYAN}'tiny'{RESET}\n",
        f"17:16:54.124 - INFO - Executing task {CYAN}'train-model'{RESET}\n",
        "    epoch 1\n",
        "        indented\n",
        f"17:16:55.000 - INFO - Task {CYAN}'train-model'{RESET} finished with status {GREEN}SUCCESS{RESET}\n",
        f"17:16:55.124 - INFO - Executing task {CYAN}'export-onnx'{RESET}\n",
        f"17:16:56.000 - ERROR - Task {CYAN}'export-onnx'{RESET} finished with status {RED}FAILURE{RESET}\n",
    ]
    assert list(read_events(lines)) == [
        Printed(None, "17:16:54.123 - INFO - Running pipeline: 'tiny'"),
        Started("train-model"),
        Printed("train-model", "epoch 1"),
        Printed("train-model", "    indented"),
        Ended("train-model", True),
        Started("export-onnx"),
        Ended("export-onnx", False),
    ]


def test_a_stage_cannot_imitate_the_runner() -> None:
    lines = [
        "17:16:54.124 - INFO - Executing task 'train-model'\n",
        "    17:16:55.000 - INFO - Task 'train-model' finished with status SUCCESS\n",
    ]
    assert [type(event) for event in read_events(lines)] == [Started, Printed]
