"""From a room's template and its values to one HTML page that is complete in itself."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

KIT = Path(__file__).parent


def render_page(template: Path, **values: Any) -> str:
    """Fill a template; every value is escaped, and a missing one is an error.

    Args:
        template: a room's `.html.j2` file. It finds the kit's files under `pages/`.
        values: what the template names. Only `markupsafe.Markup` is taken as HTML.

    Raises:
        jinja2.UndefinedError: the template names a value that is not given.
    """
    return environment(template.parent).get_template(template.name).render(**values)


@cache
def environment(folder: Path) -> Environment:
    """The engine for the templates of one folder. Made once: compiling them takes longer than filling."""
    from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined

    loader = ChoiceLoader(
        [PrefixLoader({"pages": FileSystemLoader(KIT)}), FileSystemLoader(folder)],
    )
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"breakable": breakable, "sentence": sentence}
    return made


def breakable(name: object) -> Markup:
    """A name of many parts as HTML, which may go on in the next line after each dot."""
    from markupsafe import Markup, escape

    return Markup(str(escape(name)).replace(".", ".<wbr>"))


def sentence(text: str) -> str:
    """Text with a capital first letter and a full stop."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def data_url(png: bytes) -> str:
    """A PNG as the source of an image, inside the page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
