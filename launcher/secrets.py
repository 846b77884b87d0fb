"""Keep secrets out of texts: whole ones, and the pieces that a shortened or wrapped text still shows."""

from __future__ import annotations

from collections.abc import Collection

STARS = "***"
SHORTEST_PIECE = 8
"""Characters in a row that give something of a secret away; fewer are words that stand anywhere."""


def blot(text: str, secrets: Collection[str]) -> str:
    """A text for people without the secrets, and without pieces of them.

    Args:
        text: for people; blot it before it is shortened.
        secrets: what must not show; empty ones are passed over.
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = _without_pieces(text.replace(secret, STARS), secret)
    return text


def blot_whole(text: str, secrets: Collection[str]) -> str:
    """A text for programs, such as JSON, without the secrets; short likenesses, such as ids, stay."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, STARS)
    return text


def _without_pieces(text: str, secret: str) -> str:
    kept, at = [], 0
    while at < len(text):
        end = at + SHORTEST_PIECE
        if end > len(text) or text[at:end] not in secret:
            kept.append(text[at])
            at += 1
            continue
        while end < len(text) and text[at : end + 1] in secret:
            end += 1
        kept.append(STARS)
        at = end
    return "".join(kept)
