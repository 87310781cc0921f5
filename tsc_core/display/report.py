"""An object on one HTML page that needs nothing else: stamps, figures, probabilities, provenance."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from datetime import UTC, datetime

import tsc_core
from tsc_core.alerts import CHANNELS, AlertSequence, Prediction
from tsc_core.display.answer import beside, best_of, trust
from tsc_core.display.links import broker_links, position
from tsc_core.display.photometry import light_curve
from tsc_core.display.progression import Reference, progression
from tsc_core.display.strip import Tile, shown_places, tiles
from tsc_core.display.text import percent
from tsc_core.survey import CLASSES, is_made

STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#1b2530}
h1{margin-bottom:0}table{border-collapse:collapse}td,th{padding:.2rem .7rem;border-bottom:1px solid #d5dbe1}
td{text-align:right}th{text-align:left}.strip{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0;width:126px;font-size:12px}img{width:126px;image-rendering:pixelated}.quiet{color:#5b6773}"""


def report_page(
    sequence: AlertSequence, prediction: Prediction, window: str, references: Sequence[Reference] = ()
) -> str:
    """The page as text. All that came from a packet or a server is escaped; the figures carry their own script."""
    reasons = {seen.candid: seen.reason or "" for seen in prediction.detections if not seen.used}
    used = [seen.candid for seen in prediction.detections if seen.used]
    drawn = tiles(sequence, reasons, shown_places(sequence, 0, used, history=False), channels=CHANNELS)
    figures = progression(prediction.steps, references=references), light_curve(sequence, used=used)
    story, curve = (  # the first on the page brings the library for both
        figure.update_layout(template="plotly_white").to_html(full_html=False, include_plotlyjs=place == 0)
        for place, figure in enumerate(figures)
    )
    parts = [
        f"<h1>{html.escape(sequence.oid)}</h1>",
        f"<p class=quiet>{html.escape(_where(sequence))}</p>",
        *(f"<p>Note: {html.escape(flag)}</p>" for flag in prediction.flags),
        f"<h2>Class probabilities ({html.escape(window)} detections)</h2>",
        f"{_verdict(prediction)}{_table(prediction)}{story}",
        f"<h2>Light curve</h2>{curve}<h2>Stamps</h2><div class=strip>{''.join(map(_figure, drawn))}</div>",
        "<p class=quiet>Science, template, difference from top to bottom; north up, east left; bar 10 arcsec.</p>",
        f"<h2>Elsewhere</h2><p>{_links(sequence)}</p>",
        f"<p class=quiet>Temporal Stamp Classifier {tsc_core.__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.</p>",
    ]
    body = "\n".join(parts)
    head = f'<meta charset="utf-8"><title>{html.escape(sequence.oid)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}{body}</html>'


def _where(sequence: AlertSequence) -> str:
    place = position(sequence)
    text = f"RA {place[0]:.5f}, Dec {place[1]:+.5f} deg (ICRS); " if place else ""
    made = "simulated object; " if is_made(sequence.oid) else ""
    return f"{made}{text}{len(sequence.alerts)} detections from {sequence.source}"


def _verdict(prediction: Prediction) -> str:
    """The answer after the last step, and how far it is to be trusted."""
    if not prediction.steps:
        return "<p>No model could be used on this object.</p>"
    last = prediction.steps[-1]
    best = best_of(last)
    said = f"After {last.n}: {best} {percent(last.probabilities[best])} ({beside(last)}). {trust(last)}"
    return f"<p><b>{html.escape(said)}</b></p>"


def _table(prediction: Prediction) -> str:
    steps = prediction.steps
    names = [name for name in CLASSES if any(name in step.probabilities for step in steps)]
    head = "".join(f"<th>{name}</th>" for name in ("n", "bundle", *names, "not ruled out"))
    rows = []
    for step in steps:
        values = "".join(
            f"<td>{step.probabilities[name]:.3f}</td>" if name in step.probabilities else "<td>-</td>" for name in names
        )
        left = "-" if step.conformal is None else html.escape(", ".join(step.conformal) or "none fits")
        rows.append(f"<tr><td>{step.n}</td><td>{html.escape(step.model)}</td>{values}<td>{left}</td></tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _figure(tile: Tile) -> str:
    data = base64.b64encode(tile.png).decode("ascii")
    words = html.escape(tile.title) + "<br>" + html.escape(tile.caption)
    reason = f"<br>not used: {html.escape(tile.reason)}" if tile.reason else ""
    picture = f'<img src="data:image/png;base64,{data}" alt="{html.escape(tile.alt)}">'
    return f"<figure>{picture}<figcaption>{words}{reason}</figcaption></figure>"


def _links(sequence: AlertSequence) -> str:
    links = broker_links(sequence)
    made = [f'<a href="{html.escape(url)}">{html.escape(name)}</a>' for name, url in links.items()]
    return " · ".join(made) or "A simulated object is nowhere else."
