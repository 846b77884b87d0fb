"""A policy that stops suspicious orders, so that nobody learns whether they were fraud."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tsa_model.settings.simulation import StoppingPolicy

STOPPED, STOP_PROBABILITY = "stopped", "stop_probability"
"""Columns that a policy adds."""
SHARPNESS = 1.5
"""How much likelier an order is stopped that is a standard deviation more suspicious, as log odds."""


def suspicion(orders: pd.DataFrame) -> NDArray[np.float64]:
    """What a simple set of rules thinks of each order, from the order alone, [orders]; higher = worse."""
    rules = {
        "far away": np.log1p(orders["distance_km"]) / 2,
        "large": orders["log_amount"] - orders["log_amount"].median(),
        "attempts": orders["payment_attempts"] - 1,
        "disposable": 2.0 * (orders["email_domain"] == "disposable"),
        "express": 1.0 * (orders["shipping"] == "express"),
        "night": 1.0 * orders["is_night"],
        "new address": -np.log1p(orders["address_age_days"]) / 4,
    }
    return np.sum([np.asarray(rule, np.float64) for rule in rules.values()], axis=0)


def stop_orders(orders: pd.DataFrame, is_fraud: NDArray[np.bool_], policy: StoppingPolicy) -> pd.DataFrame:
    """Decide about every order as the policy does; the label of a stopped order is never known.

    Args:
        orders: the event log.
        is_fraud: [orders] the truth, also where the label is not known yet.
        policy: how many frauds are stopped, and how sure a decision is at most.

    Returns:
        The orders with the columns `stopped` (0 or 1) and `stop_probability`.
    """
    risk = suspicion(orders)
    risk = SHARPNESS * (risk - risk.mean()) / max(float(risk.std()), 1e-9)
    low, high = -60.0, 60.0
    for _ in range(60):  # the threshold at which the wanted share of the frauds is stopped
        middle = (low + high) / 2
        share = _probability(risk, middle, policy.at_most)[is_fraud].mean() if is_fraud.any() else 0.0
        low, high = (middle, high) if share > policy.frauds_stopped else (low, middle)
    probability = _probability(risk, (low + high) / 2, policy.at_most)
    stopped = np.random.default_rng(policy.seed).random(len(orders)) < probability
    label = orders["label"].mask(stopped)
    return orders.assign(label=label, stopped=stopped.astype(np.int8), stop_probability=probability)


def _probability(risk: NDArray[np.float64], threshold: float, at_most: float) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(at_most * expit(risk - threshold), np.float64)
