"""Documents and code refer to each other, and what they refer to is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "docs" / "MODEL.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/*/*.md")])

NUMBER = r"\d+(?:\.\d+)?"
CITATION = re.compile(rf"TSA\s+spec,\s+sections?\s+({NUMBER}(?:(?:,\s+|\s+and\s+){NUMBER})*)")
LINK = re.compile(r"\]\(([^()\s]+)\)")


def texts() -> Iterator[tuple[Path, str]]:
    """Every source file and document of the project, without what a run or an installation leaves behind."""
    for top in sorted(ROOT.iterdir()):
        if top.name.startswith(".") or top.name in ("runs", "build", "dist"):
            continue
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.suffix in (".py", ".md", ".yaml"):
                yield path, path.read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """A document without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The names under which a document's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_cited_section_of_the_specification_exists() -> None:
    # A section is a heading; the numbered losses of section 10 are rows of a table.
    sections = set(re.findall(rf"^(?:#+|\|) ({NUMBER})\b", prose(MODEL), flags=re.MULTILINE))
    cited = {
        (number, str(path.relative_to(ROOT)))
        for path, text in texts()
        for numbers in CITATION.findall(text)
        for number in re.findall(NUMBER, numbers)
    }
    assert len({path for _, path in cited}) > 20, "the citations are no longer found"
    assert {(number, path) for number, path in cited if number not in sections} == set()


def test_the_specifications_sections_are_numbered_without_gaps() -> None:
    numbers = [int(n) for n in re.findall(r"^## (\d+)\. ", prose(MODEL), flags=re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 14


def test_every_section_names_functions_and_tests_that_exist() -> None:
    for section in re.split(r"^## ", prose(MODEL), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        _, _, paragraph = section.partition("In the code: ")
        paragraph = re.sub(r"\([^()]*\)", "", paragraph)  # in brackets stand recorded cases
        code, _, tests = paragraph.partition("Held by:")
        assert code, f"{title}: no functions"
        assert "test_" in tests, f"{title}: no tests"
        source = ""
        for name in re.findall(r"`([\w./]+)`", paragraph):
            if "/" in name:
                assert (ROOT / name).is_file(), f"{title}: {name}"
                source = (ROOT / name).read_text(encoding="utf-8")
            else:
                assert re.search(rf"^\s*(?:def|class) {name}\b", source, re.MULTILINE), f"{title}: {name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", target):  # https:, mailto:
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            assert anchor in anchors(path), f"{document.name} links to {target}"
