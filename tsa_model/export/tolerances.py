"""How far the answers of an exported model may be from the truth."""

from __future__ import annotations

ABSOLUTE = 1e-5
"""Float32 rounding of a value near zero; ONNX Runtime's own float32 tolerance."""
RELATIVE = 1e-4
"""Float32 rounding of a large value; ONNX Runtime's own float32 tolerance."""
SCORE_TOLERANCE = 5e-6
"""Largest error of a score whose two logits are each off by `ABSOLUTE` (its slope is at most 1/4)."""
ROUNDING_FACTOR = 8.0
"""A row beyond these may be off by this multiple of what float32 networks of the same decisions are off by:
large weights and fast time encodings round further than the tolerances say."""
