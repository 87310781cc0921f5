"""What a person takes along: tables, stamps as FITS, and the Python that gives the same answer."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Prediction
from tsc_core.display.photometry import corrected
from tsc_core.survey import CLASSES


def csv_text(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Rows as CSV. A text that a spreadsheet would take for a formula gets a quote in front."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value else value


def detections_csv(sequence: AlertSequence, prediction: Prediction) -> str:
    """One row per detection: times, magnitudes, position, whether it was used and why not."""
    measured = ("magpsf", "sigmapsf", "magpsf_corr", "sigmapsf_corr", "ra", "dec")
    columns = ("oid", "candid", "mjd", "fid", *measured, "has_stamps", "used", "reason")
    rows = []
    for alert, seen in zip(sequence.alerts, prediction.detections, strict=True):
        magnitude, error = corrected(alert)
        rows.append(
            {name: alert.value(name) for name in ("magpsf", "sigmapsf", "ra", "dec")}
            | {"oid": sequence.oid, "candid": alert.candid, "mjd": alert.mjd, "fid": alert.fid}
            | {"magpsf_corr": magnitude, "sigmapsf_corr": error, "has_stamps": alert.has_stamps}
            | {"used": seen.used, "reason": seen.reason or ""}
        )
    return csv_text(rows, columns)


def probabilities_csv(prediction: Prediction) -> str:
    """One row per number of detections: the bundle and the probability of each class (empty where it has none)."""
    rows = [
        {"oid": prediction.oid, "n": step.n, "model": step.model, **step.probabilities} for step in prediction.steps
    ]
    return csv_text(rows, ("oid", "n", "model", *CLASSES))


def stamp_fits(alert: Alert, channel: str) -> bytes:
    """One stamp as gzipped FITS, row 0 north as in the packet.

    Raises
    ------
    ValueError
        Where the detection has no stamps.
    """
    from astropy.io import fits

    if alert.stamps is None:
        raise ValueError(f"detection {alert.candid} has no stamps: {alert.missing or 'none came'}")
    header = fits.Header({"OBJECT": alert.oid, "CANDID": alert.candid, "CHANNEL": channel, "MJD-OBS": alert.mjd})
    header["FID"] = (alert.fid, "1 g, 2 r, 3 i")
    file = io.BytesIO()
    fits.PrimaryHDU(alert.stamps.channel(channel), header).writeto(file)
    return gzip.compress(file.getvalue(), compresslevel=6, mtime=0)


def stamps_zip(sequence: AlertSequence) -> bytes:
    """All stamps of an object as `<candid>_<channel>.fits.gz` in one zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for alert in sequence.alerts:
            for channel in CHANNELS if alert.stamps is not None else ():
                archive.writestr(f"{alert.candid}_{channel}.fits.gz", stamp_fits(alert, channel))
    return file.getvalue()


def snippet(spec: str, oid: str, window: str) -> str:
    """Python that reads the object and prints what the page shows; runs as pasted where `spec` can be opened."""
    return f"""from tsc_core.inference.predictor import Predictor
from tsc_core.sources import open_source

sequence = open_source({spec!r}).fetch({oid!r})
prediction = Predictor.shipped().predict(sequence, window={window!r})
for step in prediction.steps:
    print(step.n, step.model, {{name: round(p, 4) for name, p in step.probabilities.items()}})
for detection in prediction.detections:
    print(detection.candid, "used" if detection.used else detection.reason)
"""
