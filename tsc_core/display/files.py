"""The files of an object that a page offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Prediction
from tsc_core.display.exports import detections_csv, probabilities_csv, stamp_fits, stamps_zip
from tsc_core.display.progression import Reference
from tsc_core.display.report import report_page
from tsc_core.display.stamps import Stretch, draw_tile

PIXEL = 10  # screen pixels per stamp pixel in a PNG
File = tuple[str, Callable[[], bytes | str], str]


def files(
    sequence: AlertSequence,
    prediction: Prediction,
    selected: Alert,
    stretch: Stretch,
    window: str,
    references: Sequence[Reference] = (),
) -> list[File]:
    """What is in each file, how to make it, and its name; nothing is made before it is asked for."""
    oid, candid = sequence.oid, selected.candid
    found: list[File] = [
        ("Detections (CSV)", lambda: detections_csv(sequence, prediction), f"{oid}_detections.csv"),
        ("Probabilities (CSV)", lambda: probabilities_csv(prediction), f"{oid}_probabilities.csv"),
        ("Report (HTML)", lambda: report_page(sequence, prediction, window, references), f"{oid}.html"),
    ]
    if any(alert.has_stamps for alert in sequence.alerts):
        found.append(("All stamps (FITS)", lambda: stamps_zip(sequence), f"{oid}_stamps.zip"))
    if selected.stamps is not None:
        found += [
            (f"{channel.capitalize()} (FITS)", lambda c=channel: stamp_fits(selected, c), f"{candid}_{channel}.fits.gz")
            for channel in CHANNELS
        ]
        found.append(("Stamps (PNG)", lambda: draw_tile(selected, CHANNELS, stretch, scale=PIXEL), f"{candid}.png"))
    return found
