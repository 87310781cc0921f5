"""Probabilities that other classifiers published for the same objects, scored as ours are.

The file has the columns oid, classifier, class_name, probability: what ALeRCE's client answers to
`query_probabilities`, one object after another.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tsc_core.config import ConfigError
from tsc_core.evaluation.metrics import confusion, recalls, wilson
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.paper_tables import ALERCE

COLUMNS = ("oid", "classifier", "class_name", "probability")
# ALeRCE's light-curve classes (Sanchez-Saez et al. 2021) as the three of the temporal models.
KINDS = {
    "AGN": ("AGN", "QSO", "Blazar"),
    "SN": ("SN", "SNIa", "SNIbc", "SNII", "SNIIn", "SLSN"),
    "VS": ("VS", "LPV", "E", "EA", "EB/EW", "DSCT", "RRL", "RRLab", "RRLc", "CEP", "YSO", "CV/Nova", "Periodic-Other"),
}
TO_CLASS = {name: kind for kind, names in KINDS.items() for name in names}


def published_rows(path: str | Path, labels: Mapping[str, str]) -> list[dict]:
    """A table row for each classifier of the file, over the test objects that it has.

    Parameters
    ----------
    path : Path or str
    labels : Mapping of str to str
        True class of each test object.

    Raises
    ------
    ConfigError
        For a file without the columns, or without a single test object.
    """
    try:
        table = pd.read_csv(path, usecols=list(COLUMNS))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: needs the columns {', '.join(COLUMNS)} ({error})") from None
    table = table[table["oid"].isin(set(labels))].assign(kind=lambda found: found["class_name"].map(TO_CLASS))
    if table.empty:
        raise ConfigError(f"{path}: none of the {len(labels)} test objects is in it")
    return [_row(str(name), rows, labels) for name, rows in table.dropna(subset="kind").groupby("classifier")]


def _row(name: str, rows: pd.DataFrame, labels: Mapping[str, str]) -> dict:
    summed = rows.pivot_table(index="oid", columns="kind", values="probability", aggfunc="sum", fill_value=0.0)
    summed = summed.reindex(columns=list(TEMPORAL_CLASSES), fill_value=0.0)
    truth = np.array([TEMPORAL_CLASSES.index(labels[oid]) for oid in summed.index])
    counts = confusion(truth, summed.to_numpy())
    hits = int(np.trace(counts))
    paper = ALERCE.get(name)
    return {
        "label": f"{name}, published",
        "columns": {"classifier": name, "objects": len(truth)},
        "ours": {"mean": 100 * hits / len(truth), "std": None, "runs": 1},
        "interval": [100 * x for x in wilson(hits, len(truth))],
        "recall": dict(zip(TEMPORAL_CLASSES, np.nan_to_num(recalls(counts)).tolist(), strict=True)),
        "confusion": counts.tolist(),
        "paper": {"accuracy": paper.accuracy, "where": paper.where, "std": None, "p": None} if paper else None,
        "reference": None,
        "against_reference": None,
        "cells": [],
    }
