"""Finished score files against what they must hold: every line against events and model, a sample from scratch.

Nothing here uses the code that made the scores: orders are read from the events again, histories, windows and
inputs are put together one order at a time, and the reference computes them in float64.
"""
