"""The ONNX Runtime session: the one that is checked is the one that scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveInt

from tsa_model.batch import histories_among
from tsa_model.export.row_loop import BAND
from tsa_model.settings import Settings

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


class SessionSettings(Settings):
    """How ONNX Runtime is started, for the parity check and for scoring alike."""

    providers: tuple[str, ...] = ("CPUExecutionProvider",)
    graph_optimization_level: str = "ORT_ENABLE_ALL"
    """A member of `onnxruntime.GraphOptimizationLevel`."""
    intra_op_num_threads: PositiveInt = 1
    """Threads of one operator. Several calls at once use several processors better than one call does."""
    inter_op_num_threads: PositiveInt = 1
    rows_per_call: PositiveInt = 64
    """A larger batch is split into calls of this size, whatever the machine, so that scores do not depend
    on how many calls run at once. Rows of similar history length share a call, longest first."""
    calls_at_once: NonNegativeInt = 0
    """0 = one for each processor this process may use."""


class ScoringSession:
    """An ONNX model with the session options it was checked with.

    Args:
        path: the ONNX file.
        settings: options of the session.
    """

    def __init__(self, path: str | Path, settings: SessionSettings) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read at import; it would send usage data to its maker
        import onnxruntime

        options = onnxruntime.SessionOptions()
        level = settings.graph_optimization_level
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        options.intra_op_num_threads = settings.intra_op_num_threads
        options.inter_op_num_threads = settings.inter_op_num_threads
        options.log_severity_level = 3
        self._session: InferenceSession = onnxruntime.InferenceSession(
            str(path), options, providers=list(settings.providers)
        )
        self.input_names = [each.name for each in self._session.get_inputs()]
        self.output_names = [each.name for each in self._session.get_outputs()]
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.path = Path(path)
        self.settings = settings
        self._pool = ThreadPoolExecutor(settings.calls_at_once or len(os.sched_getaffinity(0)))

    def with_threads(self, threads: int) -> ScoringSession:
        """A session of the same file that computes with this many threads, in a call and across calls."""
        changed = self.settings.changed(intra_op_num_threads=threads, calls_at_once=threads)
        return ScoringSession(self.path, changed)

    def run(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Run one batch, cut into calls of `rows_per_call`.

        Args:
            batch: tensors or arrays under the names of TSA spec, section 1; others are left aside.

        Returns:
            output name → array.

        Raises:
            ValueError: an input is missing.
        """
        feed = self._feed(batch)
        n_rows, size = len(feed[self.input_names[0]]), self.settings.rows_per_call
        if n_rows <= size:
            return self._call(feed)
        order = by_length([(~feed[names.mask]).argmax(axis=1) for names in histories_among(feed)])
        calls = [
            {name: values[order[start : start + size]] for name, values in feed.items()}
            for start in range(0, n_rows, size)
        ]
        parts = list(self._pool.map(self._call, calls))
        back = np.argsort(order)
        return {name: np.concatenate([part[name] for part in parts])[back] for name in self.output_names}

    def call(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Run one batch in one call of ONNX Runtime, as a model server does; as `run` otherwise."""
        return self._call(self._feed(batch))

    def _feed(self, batch: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        missing = [name for name in self.input_names if name not in batch]
        if missing:
            raise ValueError(f"the batch lacks {missing}; the model reads {self.input_names}")
        return {name: np.asarray(batch[name]) for name in self.input_names}

    def _call(self, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return dict(zip(self.output_names, self._session.run(self.output_names, feed), strict=True))


def by_length(first_real: Sequence[NDArray[Any]]) -> NDArray[np.intp]:
    """Rows from the longest history to the shortest, as the graph sorts the rows of a call.

    Args:
        first_real: of each history [N] places that are padding before its first order.
    """
    first, *others = first_real
    return np.lexsort([*others, first // BAND if others else first])
