"""Scoring: rows through the exported model, into files that say where they come from."""

from tsa_model.scoring.files import Provenance, ScoreTable, write_scores
from tsa_model.scoring.rows import ScoredRows, score_rows
from tsa_model.scoring.stage import generate_scores

__all__ = ["Provenance", "ScoreTable", "ScoredRows", "generate_scores", "score_rows", "write_scores"]
