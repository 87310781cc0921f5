"""Whether two samples can be told apart: distances of single features, and a classifier on all or some of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tsc_core.data.simulate.stamp_statistics import STATISTICS
from tsc_core.features import PAPER

FOLDS = 5
PLACE = ("ra", "dec", "gal_lat", "gal_lon", "ecl_lat", "ecl_lon")
METADATA_GROUPS: dict[str, tuple[str, ...]] = {
    "place": PLACE,
    "brightness": ("magpsf", "sigmapsf", "diffmaglim", "isdiffpos"),
    "shape": ("fwhm", "classtar", "magpsf", "diffmaglim"),
    "counts": ("ndethist", "ncovhist", "non_detections", "magpsf"),
    "PS1": ("sgscore1", "sgscore2", "sgscore3", "distpsnr1", "distpsnr2", "distpsnr3"),
    "reference": ("chinr", "sharpnr"),
    "all but place": tuple(feature.name for feature in PAPER if feature.name not in PLACE),
}


def _of(*words: str) -> tuple[str, ...]:
    return tuple(name for name in STATISTICS if any(word in name for word in words))


STAMP_GROUPS: dict[str, tuple[str, ...]] = {
    "background and noise": _of("_background", "_noise"),
    "ties between pixels": _of("_tie_"),
    "centre": _of("_centre_"),
    "tails": tuple(name for name in STATISTICS if name not in _of("_background", "_noise", "_tie_", "_centre_")),
    "science": _of("science_"),
    "template": _of("template_"),
    "difference": _of("difference_"),
}


def told_apart(real: np.ndarray, made: np.ndarray, seed: int = 0) -> float:
    """Cross-validated AUC of gradient boosting between two samples (N, F), NaN for missing.

    Row i of both belong to the same exposure and stay in the same fold: a twin in the training set, close in place and
    of the other kind, would else pull the area below its true value.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    table = np.concatenate([real, made]).astype(np.float64)
    table[~np.isfinite(table)] = np.nan
    truth = np.repeat([0, 1], [len(real), len(made)])
    model = HistGradientBoostingClassifier(max_iter=120, learning_rate=0.08, max_leaf_nodes=15, random_state=seed)
    pairs = np.concatenate([np.arange(len(real)), np.arange(len(made))])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, table, truth, cv=folds, groups=pairs, method="predict_proba")[:, 1]
    return round(float(roc_auc_score(truth, scores)), 4)


def by_group(
    real: np.ndarray, made: np.ndarray, names: Sequence[str], groups: dict[str, tuple[str, ...]], seed: int = 0
) -> dict[str, float]:
    """`told_apart` on each group of columns alone."""
    columns = {group: [list(names).index(name) for name in members] for group, members in groups.items()}
    return {group: told_apart(real[:, chosen], made[:, chosen], seed) for group, chosen in columns.items()}


def distances(real: np.ndarray, made: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    """Kolmogorov-Smirnov distance of each column, None where one side has no values."""
    from scipy.stats import ks_2samp

    found = {}
    for place, name in enumerate(names):
        a, b = (column[np.isfinite(column)] for column in (real[:, place], made[:, place]))
        found[name] = round(float(ks_2samp(a, b, method="asymp").statistic), 4) if len(a) and len(b) else None
    return found
