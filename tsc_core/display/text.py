"""Words on the page: times, magnitudes, captions, and foreign text made harmless."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from tsc_core.alerts import Alert
from tsc_core.features import FEATURES, read
from tsc_core.survey import ZTF

MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_RANGE = re.compile(r"(?<=\d)–(?=\d)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^=])")


def plain_markdown(text: object, longest: int = 300) -> str:
    """Foreign text such that Markdown shows it letter by letter: no link, picture, colour, formula or tag."""
    flat = " ".join(str(text).split())
    short = flat if len(flat) <= longest else flat[: longest - 1] + "…"
    return _MARKDOWN.sub(r"\\\1", short)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[object]], bold: Collection[int] = ()) -> str:
    """A table in Markdown, the first column to the left, numbers to the right; cells are made harmless.

    `bold` names the rows, from 0, that stand out. Per cent signs and the ends of a range stay on one line.
    """

    def cell(value: object) -> str:
        return _RANGE.sub("–\u2060", plain_markdown(value).replace(" %", "\u00a0%"))

    lines = [list(map(cell, heads)), [":--", *("--:" for _ in heads[1:])]]
    for place, row in enumerate(rows):
        cells = list(map(cell, row))
        lines.append([f"**{text}**" for text in cells] if place in bold else cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plain_plotly(text: object, longest: int = 80) -> str:
    """Foreign text for a Plotly label, which would read tags in it."""
    return html.escape(" ".join(str(text).split())[:longest], quote=False)


def utc(mjd: float) -> datetime | None:
    """The instant of a modified Julian date, None where it is no date of this calendar."""
    try:
        return MJD_ZERO + timedelta(days=mjd)
    except (OverflowError, ValueError):
        return None


def utc_text(mjd: float, form: str = "%Y-%m-%d %H:%M") -> str:
    """A modified Julian date as UTC text, "date unknown" where it is none."""
    moment = utc(mjd)
    return moment.strftime(form) if moment else "date unknown"


def band_name(fid: int) -> str:
    """Letter of a filter id of ZTF."""
    return ZTF.bands.get(fid, f"filter {fid}")


def magnitude_text(alert: Alert) -> str:
    """Magnitude of the difference with its error, e.g. "18.32±0.05"."""
    magnitude, error = alert.value("magpsf"), alert.value("sigmapsf")
    if not math.isfinite(magnitude):
        return "no magnitude"
    return f"{magnitude:.2f}±{error:.2f}" if math.isfinite(error) else f"{magnitude:.2f}"


def is_negative(alert: Alert) -> bool:
    """Whether the detection is of a negative difference: the object was fainter than in the reference."""
    return read(alert, FEATURES["isdiffpos"]) == 0


def days_text(days: float) -> str:
    """Days since the first detection, e.g. "+3.2 d"; minutes and hours where that says more."""
    if days == 0:
        return "first"
    if abs(days) < 1 / 24:
        return f"{days * 1440:+.0f} min"
    return f"{days * 24:+.1f} h" if abs(days) < 1 else f"{days:+.1f} d"


def percent(probability: float) -> str:
    """A probability as per cent; "no value" for NaN. Never "100" for what is less, never "0" for what is more."""
    if not math.isfinite(probability):
        return "no value"
    if 0.995 <= probability < 1:
        return ">99 %"
    return "<1 %" if 0 < probability < 0.005 else f"{100 * probability:.0f} %"


def share_text(share: float) -> str:
    """A share that a person asked for, as per cent with all its digits."""
    return f"{100 * share:g} %"


def span(low: float, high: float) -> str:
    """Two probabilities as a span of per cent, "94–99 %" or "97 to >99 %"; one of them where they read the same."""
    first, last = percent(low), percent(high)
    if first == last:
        return first
    between = " to " if "<" in first + last or ">" in first + last else "–"
    return f"{first.removesuffix(' %')}{between}{last}"
