"""The faults `mutants.py` puts into the shipped code, one at a time."""

from __future__ import annotations

from mutant import Mutant
from mutants_of_few_tokens import FEW_TOKEN_MUTANTS
from mutants_of_layers import LAYER_MUTANTS
from mutants_of_networks import NETWORK_MUTANTS
from mutants_of_runs import RUN_MUTANTS
from mutants_of_sizes import SIZE_MUTANTS
from mutants_of_static import STATIC_MUTANTS
from mutants_of_training import TRAINING_MUTANTS
from mutants_of_trees import TREE_MUTANTS

GROUPS: dict[str, list[Mutant]] = {
    "layers": LAYER_MUTANTS,
    "networks": NETWORK_MUTANTS,
    "training": TRAINING_MUTANTS,
    "runs": RUN_MUTANTS,
    "sizes": SIZE_MUTANTS,
    "static": STATIC_MUTANTS,
    "trees": TREE_MUTANTS,
    "few": FEW_TOKEN_MUTANTS,
}
MUTANTS = [mutant for mutants in GROUPS.values() for mutant in mutants]
