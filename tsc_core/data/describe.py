"""A dataset in a few lines of text: objects by class, by usable detections and by origin."""

from __future__ import annotations

import pandas as pd

from tsc_core.data.store import Dataset
from tsc_core.survey import CLASSES


def counts(dataset: Dataset) -> dict[str, pd.DataFrame]:
    """Tables with a row per class: `usable` (objects with at least n usable detections), `origin`, `allwise`."""
    objects = dataset.objects
    labels = objects["label"].fillna("unknown")
    order = [*(name for name in CLASSES if (labels == name).any()), *sorted(set(labels) - set(CLASSES))]
    most = int(objects["usable"].max()) if len(objects) else 0
    usable = {f"n>={n}": (objects["usable"] >= n).groupby(labels).sum() for n in range(1, most + 1)}
    matched = objects["allwise_matched"].map({True: "matched", False: "none found"})
    allwise = matched.where(objects["allwise_asked"].astype(bool), "not asked")
    tables = {
        "usable": pd.DataFrame({"objects": labels.value_counts(), **usable}),
        "origin": pd.crosstab(labels, objects["origin"]),
        "allwise": pd.crosstab(labels, allwise),
    }
    return {name: table.reindex(order).astype(int) for name, table in tables.items()}


def describe(dataset: Dataset) -> str:
    """What `tsc dataset info` prints."""
    header, stamps = dataset.header, int(dataset.objects["stamped"].sum()) if len(dataset) else 0
    state = "" if header.get("complete") else ", not finished"
    lines = [f"{dataset.path}: {len(dataset)} objects, {stamps} detections with stamps{state}"]
    lines += [f"from {entry}" for entry in header["provenance"]]
    if len(dataset):
        titles = {"usable": "usable detections", "origin": "origin", "allwise": "AllWISE"}
        for name, table in counts(dataset).items():
            text = table.rename_axis(index=None, columns=None).to_string()
            lines += ["", f"objects by class and {titles[name]}", text]
    return "\n".join(lines)
