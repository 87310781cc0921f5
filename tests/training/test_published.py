"""Other classifiers' published probabilities: every answer counts, versions stay apart, both namings of columns."""

import numpy as np
import pytest

from tsc_core.config import ConfigError
from tsc_core.training.published import published_rows

LABELS = {"ZTF18aaaaaaa": "AGN", "ZTF18bbbbbbb": "SN", "ZTF18ccccccc": "VS"}
OURS = "oid,classifier,class_name,probability"
CLIENTS = "oid,classifier_name,classifier_version,class_name,probability,ranking"


def rows_of(folder, header, *lines):
    path = folder / "probabilities.csv"
    path.write_text("\n".join((header, *lines)))
    return published_rows(path, LABELS)


def test_an_answer_that_is_none_of_the_classes_is_wrong(tmp_path):
    (row,) = rows_of(
        tmp_path, OURS,
        "ZTF18aaaaaaa,stamp_classifier,bogus,1.0",
        "ZTF18bbbbbbb,stamp_classifier,SN,0.3", "ZTF18bbbbbbb,stamp_classifier,bogus,0.7",
        "ZTF18ccccccc,stamp_classifier,VS,0.4", "ZTF18ccccccc,stamp_classifier,asteroid,0.3",
        "ZTF18ccccccc,stamp_classifier,bogus,0.3",
    )  # fmt: skip
    assert row["classes"] == ["AGN", "SN", "VS", "other"]
    assert np.argwhere(row["confusion"]).tolist() == [[0, 3], [1, 3], [2, 2]]
    assert (row["columns"]["objects"], row["recall"]) == (3, {"AGN": 0, "SN": 0, "VS": 1})
    assert row["ours"]["mean"] == pytest.approx(100 / 3)


def test_subclasses_are_summed_and_a_classifier_of_other_things_is_left_out(tmp_path):
    (row,) = rows_of(
        tmp_path, OURS,
        "ZTF18aaaaaaa,lc_classifier,QSO,0.3", "ZTF18aaaaaaa,lc_classifier,Blazar,0.3",
        "ZTF18aaaaaaa,lc_classifier,RRL,0.4", "ZTF18aaaaaaa,lc_classifier_top,Stochastic,1.0",
    )  # fmt: skip
    assert (row["label"], row["classes"], row["ours"]["mean"]) == ("lc_classifier, published", ["AGN", "SN", "VS"], 100)


def test_the_columns_of_the_client_are_read_and_versions_kept_apart(tmp_path):
    old, new = rows_of(
        tmp_path, CLIENTS,
        "ZTF18aaaaaaa,lc_classifier,1.0,AGN,0.2,2", "ZTF18aaaaaaa,lc_classifier,1.0,SN,0.8,1",
        "ZTF18aaaaaaa,lc_classifier,1.1,AGN,0.9,1", "ZTF18aaaaaaa,lc_classifier,1.1,SN,0.1,2",
    )  # fmt: skip
    assert [row["label"] for row in (old, new)] == ["lc_classifier 1.0, published", "lc_classifier 1.1, published"]
    assert [row["ours"]["mean"] for row in (old, new)] == [0, 100]
    assert new["columns"] == {"classifier": "lc_classifier", "objects": 1, "version": "1.1"}
    assert new["paper"]["accuracy"] == 98.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (("oid,classifier,probability", "ZTF18aaaaaaa,lc,1"), "without class_name"),
        ((OURS, "ZTF18zzzzzzz,lc,AGN,1"), "none of the 3 test objects"),
        ((OURS, *["ZTF18aaaaaaa,lc,AGN,0.5"] * 2), "ZTF18aaaaaaa lc AGN is there twice; several versions need"),
    ],
)
def test_a_file_that_cannot_be_scored_is_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        rows_of(tmp_path, *text)
