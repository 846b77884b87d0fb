"""The record of a run in MLflow: what it holds as plain values, and how it gets there, once.

Imports settings; MLflow only where it is written to, because importing it takes seconds.
"""
