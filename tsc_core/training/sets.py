"""From a dataset and a configuration to the three sets of examples of a run, split by object once and for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tsc_core.alerts import Batch
from tsc_core.config import ConfigError, DataConfig, RunConfig
from tsc_core.data.loaders import ExampleSet, windows
from tsc_core.data.splits import Split, SplitError, split_once
from tsc_core.data.store import Dataset
from tsc_core.preprocessing import Preprocessor, collate

SPLITS = "splits"  # folder of split files inside a dataset


class Whole:
    """A set of any lengths, each object with all the detections it has: nothing in a batch is drawn.

    Parameters
    ----------
    examples : ExampleSet or Whole
    """

    def __init__(self, examples: ExampleSet | Whole) -> None:
        self.example, self.oids, self.labels = examples.example, examples.oids, examples.labels

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.oids)

    def batch(self, indices: np.ndarray, rng: np.random.Generator) -> Batch:
        """Objects at `indices`, nothing random."""
        return collate([self.example(int(index)) for index in indices])


@dataclass(frozen=True, slots=True, eq=False)
class RunSets:
    """The examples of a run.

    Attributes
    ----------
    preprocessor : Preprocessor
        Fitted on the training set alone.
    training : ExampleSet
    validation, test : Whole
    split : Split
    origin : str
        As `origin_of`.
    """

    preprocessor: Preprocessor
    training: ExampleSet
    validation: Whole
    test: Whole
    split: Split
    origin: str


def reach(config: RunConfig) -> int:
    """Usable detections that validation and test objects need to have."""
    needed = 1 if config.model.kind == "unified" else config.model.n
    return max(needed, config.data.split_detections)


def draw_split(dataset: Dataset, classes: tuple[str, ...], data: DataConfig, detections: int) -> Split:
    """The split of a dataset for some classes, read from its file or drawn and written there.

    Validation and test objects have at least `detections` usable ones; all other objects of the classes train.

    Raises
    ------
    ConfigError
        Where a class is missing or has too few objects.
    """
    table = dataset.objects
    table = table[table["label"].isin(classes)] if len(table) else table
    missing = [name for name in classes if len(table) == 0 or name not in set(table["label"])]
    if missing:
        raise ConfigError(f"{dataset.path}: no object of class {', '.join(missing)}")
    able = table[table["usable"] >= detections]
    folder = dataset.path / SPLITS
    folder.mkdir(exist_ok=True)
    held, tested = data.validation_per_class, data.test_per_class
    name = f"{'-'.join(classes)}_{detections}det_{held}val_{tested}test_seed{data.split_seed}.csv"
    lacking = [c for c in classes if (able["label"] == c).sum() == 0]
    if lacking:
        raise ConfigError(
            f"{dataset.path}: no object of class {', '.join(lacking)} with {detections} usable detections"
        )
    try:
        drawn = split_once(folder / name, able["oid"].tolist(), able["label"].tolist(), held, tested, data.split_seed)
    except SplitError as error:
        raise ConfigError(f"{dataset.path}: objects with {detections} usable detections: {error}") from None
    rest = set(table["oid"]) - set(drawn.places)
    return Split({**drawn.places, **dict.fromkeys(sorted(rest), "train")})


def make_sets(config: RunConfig, dataset: Dataset) -> RunSets:
    """Split, fit the preprocessor on the training objects, and make the examples.

    Raises
    ------
    ConfigError
        Where the dataset cannot serve the configuration; before any training.
    """
    model, window = config.model, config.data.window
    split = draw_split(dataset, model.classes, config.data, reach(config))
    any_length = model.kind == "unified"
    seen = windows(dataset, split.oids("train"), model.n, window, fewer=any_length)
    try:
        preprocessor = Preprocessor.fit(config.preprocess, seen)
    except ValueError as error:
        raise ConfigError(f"{dataset.path}: {error} (with n = {model.n} detections)") from None

    def make(place: str) -> ExampleSet:
        return ExampleSet(dataset, split.oids(place), preprocessor, model.n, window, model.classes, any_length)

    validation, test = Whole(make("validation")), Whole(make("test"))
    return RunSets(preprocessor, make("train"), validation, test, split, origin_of(dataset))


def origin_of(dataset: Dataset) -> str:
    """Where a dataset's objects come from: "simulated", "real", "reconstructed", or several of these."""
    return " and ".join(sorted(set(dataset.objects["origin"])))
