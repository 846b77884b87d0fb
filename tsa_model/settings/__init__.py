"""Every configuration class: all that a person may set, checked when it is read.

Imports nothing else of ours and only pydantic and yaml besides, so that a run description is read quickly.
"""

from tsa_model.settings.base import Settings, in_words, load_yaml

__all__ = ["Settings", "in_words", "load_yaml"]
