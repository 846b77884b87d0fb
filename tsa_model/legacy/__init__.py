"""The legacy's recorded tensors (`recorded/`), how they are read, and how to record another legacy model.

Imports network and settings.
"""
