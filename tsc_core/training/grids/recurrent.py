"""Tables 5-6, Fig. 6: the layers over the sequence, on images and time difference alone."""

from __future__ import annotations

from collections.abc import Iterator

from tsc_core.config import RecurrentConfig
from tsc_core.training.cells import Experiment, Row, seeded
from tsc_core.training.grids.scale import Scale, layer, setting_of
from tsc_core.training.paper_tables import MILLISECONDS, RECURRENT

SEARCH_UNITS, SEARCH_LAYERS, SEARCH_TAPS = (32, 64, 128, 256), (1, 2, 3), range(1, 9)


def _searched(kind: str, n: int) -> Iterator[RecurrentConfig]:
    """The settings of Table 5 for one layer."""
    if kind in ("lstm", "gru", "rnn"):
        yield from (RecurrentConfig(kind, units, layers) for units in SEARCH_UNITS for layers in SEARCH_LAYERS)
    elif kind == "gamma":
        yield from (RecurrentConfig(kind, taps=taps) for taps in SEARCH_TAPS)
    elif kind == "tdnn":
        yield RecurrentConfig(kind, kernel=2)
    elif kind == "conv1d":
        yield from (RecurrentConfig(kind, kernel=kernel) for kernel in range(2, n + 1))


def experiment(scale: Scale) -> Experiment:
    """All layers at n = 2..5: the search of Table 5, or the best setting of Table 6 alone in the quick form."""
    rows = []
    for n in scale.counts():
        for kind, published in RECURRENT[n].items():
            best = layer(kind, published.setting, scale)
            for found in (best,) if scale.quick else _searched(kind, n):
                columns = {"n": n, "layer": kind, "setting": setting_of(found)}
                if kind in MILLISECONDS:
                    columns["paper_ms"] = MILLISECONDS[kind][n]
                config = scale.sequence(f"{kind}, n = {n}", n, found, metadata=False, allwise=False)
                cells = seeded(config, scale.runs(own=10, quick=5), scale.mode)
                beside = published if found == best else None
                rows.append(Row(f"n = {n}, {kind} {setting_of(found)}", cells, columns, beside))
        ours = RecurrentConfig("transformer", units=64)
        config = scale.sequence(f"transformer, n = {n}", n, ours, metadata=False, allwise=False)
        cells = seeded(config, scale.runs(own=10, quick=5), scale.mode)
        columns = {"n": n, "layer": "transformer", "setting": setting_of(ours)}
        rows.append(Row(f"n = {n}, transformer {setting_of(ours)}", cells, columns))
    return Experiment(
        "recurrent", "Layers over the sequence, images and time only (Tables 5-6)", tuple(rows), ("n", "layer")
    )
