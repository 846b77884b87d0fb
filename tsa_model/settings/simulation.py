"""How many orders the simulator makes, over which time, with how much fraud."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field, NonNegativeInt

from tsa_model.settings.base import Settings

SMALLEST_RUN = 2_000


class StoppingPolicy(Settings):
    """A policy that stops suspicious orders by chance; see `tsa_model.simulation.stopping`."""

    frauds_stopped: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of the frauds that is stopped, on average."""
    at_most: float = Field(default=0.9, gt=0.0, lt=1.0)
    """Largest probability with which an order is stopped: some of every kind pass."""
    seed: NonNegativeInt = 0
    """Of the decisions."""


class SimulationConfig(Settings):
    """How many orders, over which time, with how much fraud of each pattern."""

    orders: int = Field(default=60_000, ge=SMALLEST_RUN)
    """Rows of the event log."""
    seed: NonNegativeInt = 7
    """Same seed, same orders."""
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    """Moment of the first possible order, UTC."""
    days: int = Field(default=120, ge=30)
    """Length of the log in days."""
    order_fraud_rate: float = Field(default=0.045, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `order` pattern."""
    customer_fraud_rate: float = Field(default=0.015, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `customer` pattern."""
    card_fraud_rate: float = Field(default=0.015, ge=0.0, le=0.1)
    """Share of orders that are fraud of the `card` pattern."""
    unexplained_fraud_rate: float = Field(default=0.002, ge=0.0, le=0.1)
    """Share of orders that are fraud and look genuine everywhere."""
    unknown_label_days: NonNegativeInt = 7
    """Orders of the last days lose their label, the later the more often."""
    unknown_label_rate: float = Field(default=0.01, ge=0.0, le=1.0)
    """Share of all older orders whose label is still unknown."""
    stopping: StoppingPolicy | None = None
    """Stop orders and add the columns `stopped` and `stop_probability`; None = every order passes."""


class CardPaymentsConfig(Settings):
    """Card payments in the manner of public simulated card data; see `tsa_model.simulation.cards`."""

    payments: int = Field(default=60_000, ge=SMALLEST_RUN)
    """Rows, frauds included."""
    seed: NonNegativeInt = 11
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    days: int = Field(default=180, ge=30)
    fraud_rate: float = Field(default=0.02, gt=0.0, le=0.1)
    """Share of payments that are fraud, in bursts on single cards."""
    messy_rate: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of texts written with other capitals or spaces than usual."""
