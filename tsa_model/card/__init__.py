"""The card of a model folder: one page that says what the model is, how good, how proven, and its limits.

Imports audit, promotion, scoring, export and pages.
"""
