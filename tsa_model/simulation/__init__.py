"""Simulated orders with known frauds, for the demo and for tests; imports settings only."""

from tsa_model.settings.simulation import CardPaymentsConfig, SimulationConfig
from tsa_model.simulation.cards import simulate_card_payments
from tsa_model.simulation.features import PATTERNS, VALUES, Causes
from tsa_model.simulation.simulator import (
    simulate_orders,
    simulate_orders_and_causes,
    simulate_orders_and_patterns,
)

__all__ = [
    "PATTERNS",
    "VALUES",
    "CardPaymentsConfig",
    "Causes",
    "SimulationConfig",
    "simulate_card_payments",
    "simulate_orders",
    "simulate_orders_and_causes",
    "simulate_orders_and_patterns",
]
