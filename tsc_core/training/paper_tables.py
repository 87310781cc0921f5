"""The published numbers, arXiv:2405.15073, set beside ours. Accuracies in per cent on the paper's test sets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """One number of the paper: mean accuracy (%), standard deviation over runs, p against the reference, where."""

    accuracy: float
    where: str
    std: float | None = None
    p: float | None = None
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """A row of Tables 1-2: crop a, k views, jitter theta in turns."""

    crop: int
    views: int
    jitter_turns: float
    published: Published


_T12 = "Tables 1-2"
ROTATIONS = {
    "baseline": Rotation(21, 4, 0.0, Published(91.44, _T12, 0.4)),
    "M1": Rotation(33, 6, 0.08, Published(93.36, _T12, 0.4, 0.007)),
    "M2": Rotation(27, 6, 0.1, Published(92.96, _T12, 0.5, 0.008)),
    "M3": Rotation(27, 5, 0.1, Published(92.84, _T12, 0.4, 0.008)),
    "M4": Rotation(39, 8, 0.08, Published(92.84, _T12, 0.3, 0.007)),
    "M5": Rotation(27, 7, 0.08, Published(92.72, _T12, 0.3, 0.007)),
    "fully random": Rotation(33, 5, 1.0, Published(92.22, _T12, 0.8, 0.3)),
}
TWENTY_RUNS = {
    "baseline": Published(91.27, "20 runs", 0.69),
    "M1": Published(92.74, "20 runs", 0.56, 0.01),
}

# Table 6: images and time difference only; best configuration of each layer.
_BEST = {
    2: {"gru": (91.3, "1L 256U"), "lstm": (91.7, "1L 256U"), "gamma": (91.3, "k 7"), "tdnn": (91.0, "V 2"),
        "rnn": (91.2, "1L 128U"), "conv1d": (91.3, "Ke 2")},
    3: {"gru": (91.8, "1L 256U"), "lstm": (92.0, "1L 64U"), "gamma": (91.4, "k 7"), "tdnn": (91.6, "V 2"),
        "rnn": (91.8, "1L 128U"), "conv1d": (91.6, "Ke 3")},
    4: {"gru": (92.5, "1L 256U"), "lstm": (92.2, "3L 256U"), "gamma": (92.2, "k 6"), "tdnn": (92.4, "V 2"),
        "rnn": (92.4, "1L 64U"), "conv1d": (92.5, "Ke 2")},
    5: {"gru": (93.2, "1L 64U"), "lstm": (92.9, "1L 128U"), "gamma": (92.6, "k 8"), "tdnn": (92.9, "V 2"),
        "rnn": (92.6, "1L 64U"), "conv1d": (93.2, "Ke 4")},
}  # fmt: skip
RECURRENT = {
    n: {layer: Published(value, "Table 6", setting=setting) for layer, (value, setting) in row.items()}
    for n, row in _BEST.items()
}
METADATA = {n: Published(value, "Table 7") for n, value in {2: 95.07, 3: 96.1, 4: 96.9, 5: 97.37}.items()}
METADATA_ALLWISE = {n: Published(value, "Table 7") for n, value in {2: 98.0, 3: 98.27, 4: 98.37, 5: 98.07}.items()}
COMPLETE = {
    2: Published(98.47, "Table 8", 0.1, setting="conv1d Ke 2"),
    3: Published(98.33, "Table 8", 0.7, setting="conv1d Ke 3"),
    4: Published(97.87, "Table 8", 0.2, setting="conv1d Ke 2"),
    5: Published(98.43, "Table 8", 0.3, setting="lstm 1L 128U"),
}
ALERCE = {
    "stamp_classifier": Published(91.3, "Fig. 8"),
    "lc_classifier": Published(98.0, "Fig. 9"),
}
# Inference of the 600-object test set on a GTX 1080 Ti, milliseconds per object (Table 6).
MILLISECONDS = {
    "conv1d": {2: 9.6, 3: 13.9, 4: 18.6, 5: 119.0},
    "lstm": {2: 34.0, 3: 49.0, 4: 77.0, 5: 84.0},
}
