"""The digest of (order id, score) pairs, taken on two ways."""

from __future__ import annotations

import numpy as np

from tsa_model.scoring.pairs import PairDigest


def test_the_digest_of_pairs_does_not_depend_on_their_order_or_on_how_they_come() -> None:
    rng = np.random.default_rng(0)
    ids, score = rng.permutation(10**6), rng.random(10**6).astype(np.float32)
    whole = str(PairDigest.of(ids, score))
    parts, order = PairDigest(), rng.permutation(10**6)
    for part in np.array_split(order, 7):
        parts.add(ids[part], score[part])
    assert str(parts) == whole
    score[[17, 918_273]] = score[[918_273, 17]]
    assert str(PairDigest.of(ids, score)) != whole


def test_texts_and_numbers_have_other_digests_and_widths_do_not_matter() -> None:
    score = np.array([0.5, 0.25], np.float32)
    short, long = np.array(["a1", "b"]), np.array(["a1", "b"], "U40")
    assert str(PairDigest.of(short, score)) == str(PairDigest.of(long, score))
    assert str(PairDigest.of(np.array(["1", "2"]), score)) != str(PairDigest.of(np.array([1, 2]), score))
    assert str(PairDigest.of(np.array(["ab", ""]), score)) != str(PairDigest.of(np.array(["a", "b"]), score))
