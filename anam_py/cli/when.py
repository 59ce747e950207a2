"""Moments, as people write and read them."""

import datetime as dt
import re

import click

__all__ = ["moment", "shown"]

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)(?:\s+ago)?")


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> dt.datetime | None:
    """Return the moment that an option gives, as click's callbacks do.

    It is a date, or a date and time of ISO 8601, local unless it says otherwise, or how long ago something was.

    Raises
    ------
    click.BadParameter
        If it is none.
    """
    if value is None:
        return None
    try:
        if ago := _AGO.fullmatch(value.strip()):
            return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=float(ago[1]) * _UNITS[ago[2]])
        return dt.datetime.fromisoformat(value.strip()).astimezone()
    except (ValueError, OverflowError, OSError):
        expected = "a date and time such as 2026-01-31 or 2026-01-31T12:00, or 30min, 2h, 3d or 1w, for so long ago"
        raise click.BadParameter(f"{value!r} is no moment; expected {expected}", ctx, param) from None


def shown(when: float) -> str:
    """Return the local date and time of a moment.

    Parameters
    ----------
    when : float
        In seconds since 1970.

    Returns
    -------
    str
        To the second.
    """
    return dt.datetime.fromtimestamp(when, dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
