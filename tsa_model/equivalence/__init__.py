"""The gate: a model may leave only when it is proven to compute what the reference computes."""

from tsa_model.equivalence.gate import check_equivalence, judge, judge_model
from tsa_model.equivalence.results import EquivalenceError, Verdict

__all__ = ["EquivalenceError", "Verdict", "check_equivalence", "judge", "judge_model"]
