from __future__ import annotations

import re
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from support.imports import loaded_after
from support.shared import SharedFolder

from tsa_model.pages.render import breakable, render_page, sentence

TEMPLATE = """{% extends "pages/base.html.j2" %}
{% import "pages/macros.html.j2" as kit %}
{% block title %}{{ name }}{% endblock %}
{% block content %}
{% call kit.banner("stop", name) %}{{ kit.facts([(name, name)]) }}{% endcall %}
{% call kit.section(name, id=name) %}{{ kit.table([name, name], [[name, name]]) }}
{{ kit.table([name, name], [[name, name]], 1, true) }}
{{ kit.pairs({name: name, "list": [name], "mapping": {name: name}}) }}{% endcall %}
{% call kit.folded(name) %}{{ kit.measured([{"name": name, "value": name, "bound": name, "margin": name,
"where": name, "passed": false}]) }}{% endcall %}
{{ kit.chart(name, name, name) }}{{ kit.picture(name, name, name) }}
{{ kit.mark("stop", name) }}{{ kit.mark("ok") }}{{ kit.mark("warn") }}
{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html.j2"
    path.write_text(TEMPLATE)
    return path


def test_every_macro_escapes_what_it_is_given(template: Path) -> None:
    page = render_page(template, name='"><script>alert(1)</script>')
    assert "<script" not in page
    assert '""' not in page.replace('=""', "")
    assert page.count("&lt;script&gt;") > 20


def test_a_value_that_is_not_given_is_an_error(template: Path) -> None:
    with pytest.raises(UndefinedError, match="name"):
        render_page(template)


def test_a_page_needs_nothing_beside_it_and_follows_light_and_dark(template: Path) -> None:
    page = render_page(template, name="x")
    assert page.startswith("<!doctype html>")
    assert not re.search(r"https?://|@import|url\(|@font-face|<link", page)
    assert "prefers-color-scheme: dark" in page


def test_marks_are_signs(template: Path) -> None:
    page = render_page(template, name="x")
    assert re.findall(r'<span class="mark \w+">(.*?)</span>', page) == ["✗", "✗ x", "✓", "!"]


def test_a_stacked_table_names_every_number_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "table.html.j2"
    path.write_text(
        '{% import "pages/macros.html.j2" as kit %}{{ kit.table(["a", "b", "c"], rows, 1, true) }}'
    )
    table = render_page(path, rows=[["x", "", "1"]])
    assert 'class="stack"' in table
    assert "<td>x</td>" in table
    assert '<td class="n"></td><td class="n" data-name="c">1</td>' in table


def test_long_names_may_be_broken_after_dots() -> None:
    assert breakable("a.<b>.c") == "a.<wbr>&lt;b&gt;.<wbr>c"


def test_a_sentence_begins_large_and_ends_with_a_stop() -> None:
    assert [sentence(text) for text in ("nothing", "What?", "")] == ["Nothing.", "What?", "."]


def test_stages_are_imported_without_the_libraries_of_the_pages(shared_folder: SharedFolder) -> None:
    """The process ends where a stage asks for one of them; what was imported before had not, either."""
    loaded = loaded_after(shared_folder)
    assert not {"jinja2", "markupsafe", "matplotlib"} & loaded["network"]
    wanted = {"tsa_model.equivalence.gate", "tsa_model.promotion.stage", "tsa_model.scoring.stage"}
    assert wanted <= loaded["stages without the libraries of pages"]
