"""Computed from orders: orderings by key, windows, vocabulary, scaler, targets; imports columns."""
