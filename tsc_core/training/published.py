"""Probabilities that other classifiers published for the same objects, scored as ours are.

The file has the columns oid, classifier, class_name, probability, and version where several are in it; or, beside the
oid, those that ALeRCE's client answers to `query_probabilities`: classifier_name, classifier_version, class_name,
probability. Versions are scored apart. An answer that is none of the three classes, such as bogus, is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from tsc_core.config import ConfigError
from tsc_core.evaluation.metrics import recalls, wilson
from tsc_core.survey import TEMPORAL_CLASSES
from tsc_core.training.paper_tables import ALERCE

COLUMNS = ("oid", "classifier", "class_name", "probability")
CLIENTS = {"classifier_name": "classifier", "classifier_version": "version"}  # the client's names of columns
OTHER = "other"  # an answer that is none of ours
# ALeRCE's light-curve classes (Sanchez-Saez et al. 2021) as the three of the temporal models.
KINDS = {
    "AGN": ("AGN", "QSO", "Blazar"),
    "SN": ("SN", "SNIa", "SNIbc", "SNII", "SNIIn", "SLSN"),
    "VS": ("VS", "LPV", "E", "EA", "EB/EW", "DSCT", "RRL", "RRLab", "RRLc", "CEP", "YSO", "CV/Nova", "Periodic-Other"),
}
TO_CLASS = {name: kind for kind, names in KINDS.items() for name in names}


def published_rows(path: str | Path, labels: Mapping[str, str]) -> list[dict]:
    """A table row for each version of each classifier of the file, over the test objects that it has.

    A classifier that names none of the three classes is left out.

    Parameters
    ----------
    path : Path or str
    labels : Mapping of str to str
        True class of each test object.

    Raises
    ------
    ConfigError
        For a file without the columns, without a single test object, or with versions that it does not tell apart.
    """
    table = _read(path)
    table = table[table["oid"].isin(set(labels))].assign(
        kind=lambda found: found["class_name"].map(lambda name: TO_CLASS.get(name, name))
    )
    if table.empty:
        raise ConfigError(f"{path}: none of the {len(labels)} test objects is in it")
    groups = table.groupby(["classifier", "version"])
    return [_row(*key, rows, labels) for key, rows in groups if rows["kind"].isin(TEMPORAL_CLASSES).any()]


def _read(path: str | Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"version": str, "classifier_version": str})
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: needs the columns {', '.join(COLUMNS)} ({error})") from None
    table = table.rename(columns={theirs: name for theirs, name in CLIENTS.items() if name not in table})
    lacking = [name for name in COLUMNS if name not in table]
    if lacking:
        raise ConfigError(f"{path}: needs the columns {', '.join(COLUMNS)}; without {', '.join(lacking)}")
    table = table.assign(version=table["version"].fillna("") if "version" in table else "")
    twice = table[table.duplicated(["oid", "classifier", "version", "class_name"])]
    if len(twice):
        found = " ".join(str(twice.iloc[0][name]) for name in ("oid", "classifier", "class_name"))
        raise ConfigError(f"{path}: {found} is there twice; several versions need the column version")
    return table


def _row(name: str, version: str, rows: pd.DataFrame, labels: Mapping[str, str]) -> dict:
    summed = rows.pivot_table(index="oid", columns="kind", values="probability", aggfunc="sum", fill_value=0.0)
    answers = summed.idxmax(axis=1)
    classes = TEMPORAL_CLASSES if answers.isin(TEMPORAL_CLASSES).all() else (*TEMPORAL_CLASSES, OTHER)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for oid, answer in answers.items():
        counts[classes.index(labels[oid]), classes.index(answer if answer in TEMPORAL_CLASSES else OTHER)] += 1
    hits, objects = int(np.trace(counts)), int(counts.sum())
    paper = ALERCE.get(name)
    return {
        "label": f"{name} {version}".rstrip() + ", published",
        "columns": {"classifier": name, "objects": objects} | ({"version": version} if version else {}),
        "ours": {"mean": 100 * hits / objects, "std": None, "runs": 1},
        "interval": [100 * x for x in wilson(hits, objects)],
        "recall": dict(zip(TEMPORAL_CLASSES, np.nan_to_num(recalls(counts)).tolist(), strict=False)),
        "classes": list(classes),
        "confusion": counts.tolist(),
        "paper": {"accuracy": paper.accuracy, "where": paper.where, "std": None, "p": None} if paper else None,
        "reference": None,
        "against_reference": None,
        "cells": [],
    }
