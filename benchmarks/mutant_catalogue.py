"""The faults `mutants.py` puts into the shipped code, one at a time."""

from __future__ import annotations

from mutants_of_layers import LAYER_MUTANTS
from mutants_of_networks import NETWORK_MUTANTS
from mutants_of_training import TRAINING_MUTANTS

MUTANTS = [*LAYER_MUTANTS, *NETWORK_MUTANTS, *TRAINING_MUTANTS]
