"""What a page says, without its markup."""

from __future__ import annotations

from html.parser import HTMLParser


class _Lines(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.is_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_cell = True
        elif tag == "strong":
            self.handle_data("**")

    def handle_endtag(self, tag: str) -> None:
        if tag == "strong":
            self.handle_data("**")
        elif tag in ("td", "th"):
            self.is_cell = False

    def handle_data(self, data: str) -> None:
        if self.is_cell:
            self.rows[-1][-1] += data


def table_lines(page: str) -> str:
    """Every table's rows, a line each: `| cell | cell |`, bold text within `**`."""
    lines = _Lines()
    lines.feed(page)
    return "\n".join("| " + " | ".join(" ".join(cell.split()) for cell in row) + " |" for row in lines.rows)
