"""Links of a chain, each checked only when all before it hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import computed_field

from tsa_model.sealed import SHOWN_DIGITS
from tsa_model.settings import Settings
from tsa_model.signing import KEY_VARIABLE, signing_key

UNSIGNED_KIND = ""


class Link(Settings):
    """One link: a file or folder, and whether it belongs to what stands before it."""

    name: str
    path: str
    digest: str
    """Hex SHA-256 that the next link must state; empty where the link is broken."""
    passed: bool
    finding: str
    """One sentence: what was shown, or which two things do not belong together."""
    signature: str = UNSIGNED_KIND
    """As the document states it; empty for kinds of files that are not signed."""


class Audit(Settings):
    """What an audit found."""

    subject: str
    """The run's folder, or the model's."""
    links: tuple[Link, ...]
    """In the order of the data flow; the last one is the first that is broken, if one is."""
    not_reached: tuple[str, ...] = ()
    """Names of the links behind a broken one."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def passed(self) -> bool:
        """Whether the chain is whole."""
        return bool(self.links) and all(link.passed for link in self.links) and not self.not_reached

    @property
    def signed(self) -> str:
        """Whether the documents are signed, in words."""
        signatures = [link.signature for link in self.links if link.signature != UNSIGNED_KIND]
        n_signed = sum(":" in signature for signature in signatures)
        if not signatures:
            return "no signature reached"
        if not n_signed:
            return "not signed"
        words = (
            "signed" if n_signed == len(signatures) else f"{n_signed} of {len(signatures)} documents signed"
        )
        return words if signing_key() else f"{words}, not checked: {KEY_VARIABLE} is not set"

    def lines(self) -> list[str]:
        """The audit as text, a line per link."""
        width = max((len(link.name) for link in self.links), default=0)
        lines = [
            f"{'ok    ' if link.passed else 'BROKEN'}  {link.name:<{width}}  {link.digest[:SHOWN_DIGITS]:<12}"
            f"  {link.finding}"
            for link in self.links
        ]
        if self.not_reached:
            lines.append(f"not reached: {', '.join(self.not_reached)}")
        return lines


def walk(subject: str, steps: Mapping[str, Callable[[], Link]]) -> Audit:
    """Check links in their order up to the first that is broken.

    Args:
        subject: what is audited.
        steps: name of a link → its check, which raises ValueError or OSError where it is broken.
    """
    links: list[Link] = []
    for name, check in steps.items():
        try:
            links.append(check())
        except (ValueError, OSError) as error:
            text = " ".join(str(error).split())
            links.append(Link(name=name, path="", digest="", passed=False, finding=text))
            break
    names = list(steps)
    return Audit(subject=subject, links=tuple(links), not_reached=tuple(names[len(links) :]))
