"""What monitoring looks at, and from where on a figure is worth a look or calls for a new model."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from tsa_model.settings.base import Settings


class RisingLevels(Settings):
    """Levels of a figure that is worse the larger it is."""

    look: PositiveFloat
    """From here on somebody should look."""
    act: PositiveFloat
    """From here on something must be done."""

    @model_validator(mode="after")
    def _check(self) -> RisingLevels:
        if self.look > self.act:
            raise ValueError(f"look={self.look:g} lies above act={self.act:g}")
        return self


class FallingLevels(Settings):
    """Levels of a figure that is worse the smaller it is."""

    look: PositiveFloat
    act: PositiveFloat

    @model_validator(mode="after")
    def _check(self) -> FallingLevels:
        if self.look < self.act:
            raise ValueError(f"look={self.look:g} lies below act={self.act:g}")
        return self


class RetrainConfig(Settings):
    """When `tsa monitor --retrain` starts a run."""

    cool_down_days: float = Field(default=7.0, ge=0)
    """No second run within this time after the last one."""
    most_per_week: PositiveInt = 1
    """Runs that alarms may start within seven days."""


class AskedFor(Settings):
    """The alarm that started a run; `tsa monitor --retrain` puts it into the run's description."""

    alarm: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Its id in the monitoring document."""
    signals: tuple[str, ...]
    since: datetime
    document_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the document that raised it."""
    page: str = Field(pattern=r"^(https?://|/)[^\s<>\"]*$")
    """Address or path of its page."""


class MonitoringConfig(Settings):
    """Levels of every signal. A level counts beyond chance only: past an interval or a noise floor.

    `look` at one day is enough; `act` needs two days in a row, or a window of seven days.
    """

    psi: RisingLevels = RisingLevels(look=0.1, act=0.25)
    """Population stability index of a column or of the score, of the day and of the seven days that end
    with it; the smaller one counts, beyond its noise floor."""
    unknown: RisingLevels = RisingLevels(look=0.05, act=0.2)
    """Share of orders whose category the training vocabulary does not know."""
    history: FallingLevels = FallingLevels(look=0.7, act=0.5)
    """Mean number of earlier orders over that of the training period."""
    without_history: RisingLevels = RisingLevels(look=0.1, act=0.3)
    """Share of orders without any earlier order, beyond the median of the four weeks before."""
    alert_rate: RisingLevels = RisingLevels(look=1.5, act=2.5)
    """Share of orders above the alert threshold over that of the reference, or the inverse."""
    expected_fraud: RisingLevels = RisingLevels(look=1.3, act=1.6)
    """Mean calibrated probability over that of the reference, or the inverse."""
    late: RisingLevels = RisingLevels(look=0.02, act=0.1)
    """Share of orders that came too late to be scored with the others of their day."""
    label_lack: RisingLevels = RisingLevels(look=0.2, act=0.6)
    """Share of orders without a label although the label delay is over."""
    loss: RisingLevels = RisingLevels(look=0.1, act=0.25)
    """Share of the reference's AUC above chance, average precision or recall that a week has lost, where its
    interval does not touch the reference's."""
    calibration: RisingLevels = RisingLevels(look=1.4, act=2.0)
    """Frauds of a week over those its probabilities promised, or the inverse."""
    alert_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of orders at which recall and precision are taken; None = the alert rate of the model's run."""
    late_minutes: PositiveFloat = 60.0
    """An order answered later than this after its time is late; decision logs say when that was."""
    label_share: float = Field(default=0.8, gt=0, le=1)
    """A day counts as labelled when the label delay is over and this share of its orders has a label."""
    resamples: int = Field(default=200, ge=50)
    """Bootstrap samples of realised figures, and draws of estimated ones."""
    seed: NonNegativeInt = 0
    retrain: RetrainConfig = RetrainConfig()
