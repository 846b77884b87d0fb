"""Names of the pages about a whole run; they link each other."""

from __future__ import annotations

START = "index.html"
"""In the run's folder."""
AUDIT = "audit.html"
"""In the folder that holds the stages' folders: `../audit.html` from any report of a run."""
CARD = "model_card.html"
"""Beside it."""
