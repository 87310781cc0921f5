"""Figures of the comparison: metadata side by side, and a sheet of made stamps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tsc_core.alerts import CHANNELS
from tsc_core.data.simulate.compare import NAMES, Sample
from tsc_core.data.simulate.population import MadeObject
from tsc_core.data.simulate.stamp_statistics import STATISTICS
from tsc_core.features import PAPER

REAL, MADE = "#4477aa", "#ee7733"  # told apart by every kind of colour vision
SHOWN_STATISTICS = tuple(
    f"{channel}_{measure}" for channel in CHANNELS for measure in ("noise", "centre_width", "centre_flux", "tie_x")
)
LOGARITHMIC = {"ndethist", "ncovhist", "non_detections", "chinr", "distpsnr1", "distpsnr2", "distpsnr3", "fwhm"}


def metadata_figure(real: Sample, made: Sample, path: Path) -> None:
    """Histograms of the paper's 23 metadata, real and made."""
    names = [feature.name for feature in PAPER]
    _histograms(real.metadata, made.metadata, NAMES, names, path)


def stamps_figure(real: Sample, made: Sample, path: Path) -> None:
    """Histograms of some stamp statistics, real and made."""
    _histograms(real.stamps, made.stamps, STATISTICS, SHOWN_STATISTICS, path)


def _histograms(real: np.ndarray, made: np.ndarray, columns: Sequence[str], names: Sequence[str], path: Path) -> None:
    figure_class, canvas = _matplotlib()
    rows = -(-len(names) // 6)
    figure = figure_class(figsize=(13, 2.0 * rows), layout="constrained")
    canvas(figure)
    for place, name in enumerate(names):
        axis = figure.add_subplot(rows, 6, place + 1)
        pair = [_finite(table[:, columns.index(name)]) for table in (real, made)]
        log = name in LOGARITHMIC or name.endswith(("noise", "flux"))
        pair = [np.log10(np.clip(values, 1e-2, None)) for values in pair] if log else pair
        low, high = np.quantile(np.concatenate(pair), (0.005, 0.995))
        bins = np.linspace(low, max(high, low + 1e-6), 31)
        for values, colour, label in zip(pair, (REAL, MADE), ("real", "made"), strict=True):
            axis.hist(values, bins, density=True, histtype="step", color=colour, lw=1.3, label=label)
        axis.set_title(f"log {name}" if log else name, fontsize=8)
        axis.set_yticks([])
        axis.tick_params(labelsize=7)
    figure.axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=70)


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values) & (values > -900)]


def stamp_sheet(objects: Sequence[MadeObject], path: Path) -> None:
    """Science, template and difference of made objects, a column each."""
    figure_class, canvas = _matplotlib()
    figure = figure_class(figsize=(0.9 * len(objects), 3.2))
    canvas(figure)
    for column, made in enumerate(objects):
        packet = made.packets[0]
        for row, pixels in enumerate(packet.stamps):
            axis = figure.add_axes((column / len(objects), (2 - row) * 0.29, 0.97 / len(objects), 0.28))
            axis.imshow(_stretched(pixels), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.axis("off")
            if row == 0:
                axis.set_title(f"{made.subclass}\n{packet.candidate['magpsf']:.1f} mag", fontsize=6)
    figure.savefig(path, dpi=60)


def _stretched(pixels: np.ndarray) -> np.ndarray:
    low, high = np.nanpercentile(pixels, (1, 99.5))
    return np.nan_to_num(np.clip((pixels - low) / (high - low + 1e-9), 0, 1), nan=1.0)


def _matplotlib() -> tuple[type, type]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    return Figure, FigureCanvasAgg
