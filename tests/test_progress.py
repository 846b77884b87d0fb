from __future__ import annotations

import numpy as np
import pytest

from tsa_model.progress import Progress, metadata, parse, report


def test_what_is_reported_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    report(3, 10, "epoch", 'val/auroc "0.91"')
    assert parse("    " + capsys.readouterr().out) == Progress(3, 10, "epoch", 'val/auroc "0.91"')


@pytest.mark.parametrize(
    "line",
    [
        "",
        "epoch 3",
        "[progress]",
        "[progress] {3}",
        '[progress] {"done": 1}',
        '[progress] {"done": "x", "total": 1}',
    ],
)
def test_other_lines_are_no_progress(line: str) -> None:
    assert parse(line) is None


def test_metadata_keeps_only_what_kubeflow_stores() -> None:
    metrics = {
        "key_figure": "AUC 0.9",
        "auc": np.float32(0.5),
        "rows": np.int64(3),
        "passed": True,
        "worst": float("inf"),
        "ratio": float("nan"),
        "thresholds": [1.0, 2.0],
        "missing": None,
        "test": {"auc": 0.25, "curve": [1.0]},
    }
    plain = metadata(metrics)
    assert plain == {"key_figure": "AUC 0.9", "auc": 0.5, "rows": 3, "passed": True, "test.auc": 0.25}
    assert {type(value) for value in plain.values()} == {str, float, int, bool}
