"""Finished score files against what they must hold: every line is checked, and a sample is computed again.

Orders are read from the events again, histories, windows and inputs are put together one order at a time, and
the reference computes them in float64. Imports what scoring imports, and of scoring its files and model.
"""
