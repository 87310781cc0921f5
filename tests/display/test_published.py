import csv
import io

import numpy as np
import pytest

from tsc_core.display.published import CSV_COLUMNS, GIVE_UP, Asked, as_csv, ask, matrices, newest
from tsc_core.evaluation.results import Result, Scores
from tsc_core.sources import ObjectNotFound, SourceError
from tsc_core.sources.alerce_answers import ClassProbability as Row
from tsc_core.training.published import published_rows

OIDS = tuple(f"ZTF18aaaaaa{letter}" for letter in "abcdef")
LABELS = np.array([0, 0, 1, 1, 2, 2])
VALUES = np.eye(3)[LABELS]
OURS = Result("x", "temporal_2", "2", "real", "", ("AGN", "SN", "VS"), 2 * np.eye(3),
              Scores(OIDS, LABELS, LABELS, VALUES.max(1), VALUES))  # fmt: skip
NAMES = (("QSO", "Blazar"), ("SNIa", "SNII"), ("RRL", "LPV"))


class Service:
    """Answers by class of the object; `down` are ids that fail."""

    def __init__(self, down=(), error=SourceError):
        self.down, self.error = down, error

    def probabilities(self, oid):
        if oid in self.down:
            raise self.error(f"{oid}: HTTP 500")
        first, second = NAMES[LABELS[OIDS.index(oid)]]
        whole = [Row("lc", "1.1", first, 0.4), Row("lc", "1.1", second, 0.3), Row("lc", "1.1", "SNIbc", 0.3)]
        return [*whole, Row("lc", "1.0", "SNIa", 1.0), Row("transient", "1.0", "SNIa", 1.0)]


def test_subclasses_are_summed_and_only_the_newest_version_counts():
    asked = ask(Service(), OIDS, lambda done, total: None)
    (found,) = matrices(asked, OURS)  # a classifier that knows one class only is left out
    assert (found.model, found.origin) == ("lc", "real")
    assert np.array_equal(found.counts, OURS.counts)
    assert found.scores.probabilities[0] == pytest.approx([0.7, 0.3, 0.0])


def test_what_fails_is_left_out_and_named():
    told = []
    asked = ask(Service(down=OIDS[:1]), OIDS, lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
    assert list(asked.failed) == [OIDS[0]]
    assert matrices(asked, OURS)[0].counts.sum() == 5


def test_a_service_that_is_not_there_is_given_up_soon():
    with pytest.raises(SourceError, match="500"):
        ask(Service(down=OIDS), OIDS * 3, lambda done, total: None)
    unknown = ask(Service(down=OIDS, error=ObjectNotFound), OIDS, lambda done, total: None)
    assert len(unknown.failed) == len(OIDS) >= GIVE_UP  # it answers, and knows none of them
    assert matrices(unknown, OURS) == []


def test_the_csv_is_what_the_experiment_reads(tmp_path):
    asked = Asked({OIDS[0]: newest(Service().probabilities(OIDS[0]))})
    rows = list(csv.DictReader(io.StringIO(as_csv(asked))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert len(rows) == 4
    assert {row["version"] for row in rows} == {"1.0", "1.1"}
    (tmp_path / "alerce.csv").write_text(as_csv(asked))
    labels = [row["label"] for row in published_rows(tmp_path / "alerce.csv", {OIDS[0]: "AGN"})]
    assert labels == ["lc 1.1, published", "transient 1.0, published"]
