"""What a score was computed from, in a few characters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from tsa_model.batch import ATTN_MASK, LABEL, ORDER_ID

NO_INPUTS = {ATTN_MASK, LABEL, ORDER_ID}


def digests_of(batch: Mapping[str, np.ndarray]) -> list[str]:
    """A digest for each order of a batch, over the bytes of all its tensors.

    Args:
        batch: tensors [B, ...] by name; those that no network reads are left out.

    Returns:
        [B] hex, 32 digits each.
    """
    names = sorted(batch.keys() - NO_INPUTS)
    n_rows = len(batch[names[0]])
    found = []
    for row in range(n_rows):
        content = b"".join([batch[name][row].tobytes() for name in names])
        found.append(hashlib.blake2b(content, digest_size=16).hexdigest())
    return found
