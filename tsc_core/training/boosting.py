"""Gradient boosting on the models' own metadata: what no network should lose to."""

from __future__ import annotations

import time

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from tsc_core.training.batches import Examples, in_order


def table(examples: Examples) -> np.ndarray:
    """Metadata of each object in one row, (N, A * D + S + 4): dynamic of every detection, static, AllWISE."""
    batches = in_order(examples, 1024)
    rows = [np.concatenate([b.dynamic.flatten(1), b.static, b.allwise], axis=1) for b in batches]
    return np.concatenate(rows)


def boosted_probabilities(sets: tuple[Examples, Examples, Examples], seed: int) -> tuple[np.ndarray, dict]:
    """Fit on the first set, stop by the second; probabilities (N, K) of the third, and what a cell records.

    Runs differ by the features that each split may choose from, nine in ten of them, which `seed` draws. All `steps`
    iterations answer; `best_step` is the one after which the validation loss was least.
    """
    started = time.monotonic()
    training, validation, test = (table(found) for found in sets)
    model = HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=400,
        max_features=0.9,
        early_stopping=True,
        class_weight="balanced",
        random_state=seed,
    )
    model.fit(training, sets[0].labels, X_val=validation, y_val=sets[1].labels)
    scores = model.predict_proba(validation)
    chosen = scores[np.arange(len(scores)), sets[1].labels]
    result = {
        "steps": int(model.n_iter_),
        "best_step": int(model.validation_score_.argmax()),  # the first score is that of no iteration
        "val_loss": float(-np.log(np.clip(chosen, 1e-12, None)).mean()),
        "val_accuracy": float((scores.argmax(1) == sets[1].labels).mean()),
        "objects": {"training": len(training), "validation": len(validation)},
        "seconds": round(time.monotonic() - started, 2),
    }
    return model.predict_proba(test), result
