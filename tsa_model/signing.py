"""Signatures of documents: whoever lacks the key can neither write a document nor change one unseen.

The key comes from the environment and is never written or printed. Without a key documents say "not signed".
"""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Literal

KEY_VARIABLE = "TSA_SIGNING_KEY"
NOT_SIGNED = "not signed"
METHOD = "hmac-sha256"
SHORTEST_KEY = 16
"""Characters; `openssl rand -hex 32` gives 64."""


def signing_key() -> bytes | None:
    """The key of this process; None = documents are neither signed nor is a signature asked for.

    Raises:
        ValueError: it is too short to be one.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not key:
        return None
    if len(key) < SHORTEST_KEY:
        raise ValueError(
            f"{KEY_VARIABLE} has {len(key)} characters, a signing key has at least {SHORTEST_KEY}:"
            " make one with 'openssl rand -hex 32'"
        )
    return key.encode()


def require_key(signing: Literal["optional", "required"]) -> None:
    """Refuse to work without a key where documents must be signed.

    Args:
        signing: the setting of the run description.

    Raises:
        ValueError: there is no key, or it is too short.
    """
    if signing_key() is None and signing == "required":
        raise ValueError(
            f"the run description asks for signed documents (signing: required), and {KEY_VARIABLE} is not"
            " set: give this stage the key"
        )


def sign(digest: str) -> str:
    """The signature of a document's digest; without a key it says that there is none."""
    key = signing_key()
    return NOT_SIGNED if key is None else f"{METHOD}:{_code(key, digest)}"


def check_signature(path: Path, digest: str, signature: object) -> None:
    """Refuse a document that was not signed with the key of this process; without a key nothing is checked.

    Args:
        path: of the document, for the message.
        digest: of its content.
        signature: as it states it.

    Raises:
        ValueError: there is a key, and the signature is missing or was made with another one.
    """
    key = signing_key()
    if key is None:
        return
    if not isinstance(signature, str) or not signature.startswith(f"{METHOD}:"):
        raise ValueError(
            f"{path} is not signed, and {KEY_VARIABLE} is set: make it again where the key is known"
        )
    if not hmac.compare_digest(signature, f"{METHOD}:{_code(key, digest)}"):
        raise ValueError(
            f"{path} and the key in {KEY_VARIABLE} do not belong together: the signature over the content"
            f" {digest[:12]} was made with another key"
        )


def shown_signature(signature: str) -> str:
    """A signature as pages show it: its method and its beginning, or that there is none."""
    method, _, code = signature.partition(":")
    return f"{method} {code[:12]}" if code else signature


def _code(key: bytes, digest: str) -> str:
    return hmac.new(key, f"tsa document {digest}".encode(), hashlib.sha256).hexdigest()
