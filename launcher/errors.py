"""What the launcher raises when something outside of it goes wrong."""

from __future__ import annotations


class LauncherError(RuntimeError):
    """A stage, a run or a server failed; the text is for people, and no traceback helps them."""
