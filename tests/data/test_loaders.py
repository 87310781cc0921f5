from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.data.made import difficult, made, made_many
from tsc_core.alerts import Batch
from tsc_core.config import PreprocessConfig
from tsc_core.data.loaders import ExampleSet, prefetch, windows
from tsc_core.data.store import Dataset, DatasetWriter
from tsc_core.preprocessing import Preprocessor, select_alerts, window_of
from tsc_core.survey import TEMPORAL_CLASSES

FIELDS = ("stamps", "has_stamps", "dynamic", "static", "allwise")


@pytest.fixture(scope="module")
def sequences():
    return [*made_many(8), replace(difficult(), label="SN"), made(9, detections=2), replace(made(10), label="bogus")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, sequences):
    path = tmp_path_factory.mktemp("loaders") / "set"
    with DatasetWriter(path, part_objects=4) as writer:
        for sequence in sequences:
            writer.add(sequence, origin="real")
    return Dataset(path)


def fitted(dataset, window="first", **options):
    return Preprocessor.fit(PreprocessConfig(**options), windows(dataset, dataset.oids, 3, window))


def assert_same(a, b):
    assert a.label == b.label
    for name in FIELDS:
        found, given = getattr(a, name), getattr(b, name)
        assert (found.dtype, found.shape) == (given.dtype, given.shape), name
        assert found.tobytes() == given.tobytes(), name


@pytest.mark.parametrize("window", ["first", "last"])
@pytest.mark.parametrize("scaling", ["stamp", "sequence"])
def test_examples_are_those_of_the_source_bit_for_bit(dataset, sequences, window, scaling):
    """The one path: what training reads from disk equals what prediction makes of the same sequence."""
    preprocessor = fitted(dataset, window, scaling=scaling, channels=("difference", "science"), crop=21)
    examples = ExampleSet(dataset, dataset.oids, preprocessor, 3, window)
    assert len(examples) == 9
    given = {sequence.oid: sequence for sequence in sequences}
    for index, oid in enumerate(examples.oids):
        alerts = window_of(select_alerts(given[oid], window), 3)
        label = TEMPORAL_CLASSES.index(given[oid].label)
        assert_same(examples.example(index), preprocessor(alerts, given[oid].allwise, label))


@pytest.mark.parametrize("window", ["first", "last"])
def test_shorter_views_are_those_of_window_of(dataset, sequences, window):
    preprocessor = fitted(dataset, window)
    examples = ExampleSet(dataset, dataset.oids, preprocessor, 5, window, shorter=True)
    given = {sequence.oid: sequence for sequence in sequences}
    for index, oid in enumerate(examples.oids):
        selection = select_alerts(given[oid], window, 5)
        for n in range(1, len(selection.used) + 1):
            direct = preprocessor(window_of(selection, n), given[oid].allwise, int(examples.labels[index]))
            assert_same(examples.example(index, n), direct)


def test_the_fit_does_not_depend_on_where_the_alerts_lie(dataset, sequences):
    stored = Preprocessor.fit(PreprocessConfig(), windows(dataset, dataset.oids, 3)).to_dict()
    direct = [(window_of(select_alerts(s), 3), s.allwise) for s in sequences if len(select_alerts(s).used) >= 3]
    assert stored == Preprocessor.fit(PreprocessConfig(), direct).to_dict()


def test_who_is_left_out_and_why(dataset, sequences):
    examples = ExampleSet(dataset, dataset.oids, fitted(dataset), 3)
    assert examples.left_out == {
        sequences[9].oid: "fewer than 3 usable detections",
        sequences[10].oid: "is bogus",
    }
    assert examples.oids == dataset.oids[:9]
    assert examples.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 1]
    with_bogus = ExampleSet(dataset, dataset.oids, fitted(dataset), 3, classes=("bogus", "VS"))
    assert with_bogus.labels.tolist() == [1, 1, 0]


def test_batch(dataset):
    examples = ExampleSet(dataset, dataset.oids, fitted(dataset), 3)
    indices = np.array([5, 0, 5, 2])
    batch = examples.batch(indices, np.random.default_rng(0))
    assert isinstance(batch, Batch)
    assert batch.stamps.shape == (4, 3, 2, 63, 63)
    assert batch.present.all()
    assert batch.labels.tolist() == [2, 0, 2, 2]
    assert torch.equal(batch.stamps[0], batch.stamps[2])
    assert torch.equal(batch.stamps[1], torch.from_numpy(examples.example(0).stamps))


def test_batches_of_any_length_follow_the_generator(dataset):
    examples = ExampleSet(dataset, dataset.oids, fitted(dataset), 5, shorter=True)
    indices = np.arange(len(examples)).repeat(4)
    one, same, other = (examples.batch(indices, np.random.default_rng(seed)) for seed in (1, 1, 2))
    lengths = one.present.sum(1)
    assert torch.equal(one.present, same.present)
    assert torch.equal(one.stamps, same.stamps)
    assert not torch.equal(one.present, other.present)
    assert set(lengths.tolist()) == {1, 2, 3, 4, 5}
    assert not one.stamps[~one.present].any()


def test_prefetch_gives_the_same_batches_in_order(dataset):
    examples = ExampleSet(dataset, dataset.oids, fitted(dataset), 3)
    made_ahead = list(prefetch(examples.batch(np.array([i, 0]), None) for i in range(9)))
    assert len(made_ahead) == 9
    for index, batch in enumerate(made_ahead):
        assert torch.equal(batch.stamps, examples.batch(np.array([index, 0]), None).stamps)


def test_prefetch_raises_what_the_thread_raised_and_stops_when_closed(dataset):
    drawn = []

    def batches():
        for number in range(100):
            drawn.append(number)
            if number == 3:
                raise OSError("disk gone")
            yield number

    ahead = prefetch(batches())
    assert [next(ahead) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="disk gone"):
        next(ahead)
    drawn.clear()
    ahead = prefetch(iter(drawn.append(n) or n + 1 for n in range(100)))
    assert next(ahead) == 1
    ahead.close()
    assert len(drawn) <= 4
