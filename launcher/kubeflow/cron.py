"""Cron expressions as Kubeflow takes them: six fields, seconds first, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import islice

from cronsim import CronSim, CronSimError

FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")
# Kubeflow's parser knows numbers, names, lists, ranges and steps; not cron's L, W and #.
_FIELD = re.compile(r"[0-9A-Za-z*?,/-]+")
_SUNDAY_7 = re.compile(r"(^|[,-])7($|[,/-])")


def six_fields(cron: str) -> str:
    """The expression with the seconds that Kubeflow expects in front.

    Args:
        cron: five fields (minute hour day month weekday), or six with the second before them.

    Raises:
        ValueError: Kubeflow would not understand the expression, or it never fires.
    """
    fields = cron.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise ValueError(
            f"cron {cron!r} has {len(fields)} fields: write five (minute hour day-of-month month "
            'day-of-week, such as "0 2 * * 1") or six, the second first'
        )
    for name, field in zip(FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(field) or _special(name, field):
            raise ValueError(
                f"cron {cron!r}: {name} {field!r} is not understood by Kubeflow, which takes numbers, names "
                "(MON, JAN), lists, ranges, steps, * and ?; Sunday is 0"
            )
    normal = " ".join(fields)
    try:
        next(_simulated(normal, datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"cron {cron!r}: {str(error).lower()}") from None
    except StopIteration:
        raise ValueError(f"cron {cron!r} never fires") from None
    return normal


def fire_times(cron: str, number: int = 5, after: datetime | None = None) -> list[datetime]:
    """The next moments, UTC, at which an expression of six fields fires.

    Args:
        cron: from `six_fields`.
        number: how many.
        after: they are later than this; None = now.
    """
    return list(islice(_simulated(cron, after or datetime.now(UTC)), number))


def _simulated(cron: str, after: datetime) -> CronSim:
    return CronSim(cron.replace("?", "*"), after.astimezone(UTC))


def _special(name: str, field: str) -> bool:
    """Whether a field has a form that only other crons know."""
    if name == "day of month" and re.search("[A-Za-z]", field):
        return True
    return name == "day of week" and bool(_SUNDAY_7.search(field) or re.search(r"\dL", field.upper()))
