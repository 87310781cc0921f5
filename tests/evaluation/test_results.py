import csv
import json

import numpy as np
import pytest

from tests.app.made_runs import CLASSES, make_experiment, make_run, scored
from tsc_core.evaluation.figures import CELL, confusion_chart, difference_chart, matrix_rows, reliability_figure
from tsc_core.evaluation.metrics import summarise
from tsc_core.evaluation.results import (
    Result,
    find_results,
    on_common,
    over_seeds,
    result_of,
    row_shares,
    scored_alone,
)
from tsc_core.survey import CLASSES as CLASSES_5

LABELS, PROBABILITIES = scored(3)
BLOCK = summarise(LABELS, PROBABILITIES, CLASSES)


def make_bundle(folder):
    """`metrics.json` and `objects.csv` of a bundle, as the command that evaluates bundles writes them."""
    folder.mkdir(parents=True)
    report = {"window": "first", "origin": "simulated", "n": {"2": {"model": "temporal_2", **BLOCK}}, "skipped": {}}
    real = {**report, "origin": "real"}
    (folder / "metrics.json").write_text(json.dumps({"simulated, held out": report, "real packets": real}))
    with (folder / "objects.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["set", "oid", "n", "label", "predicted", "probability"])
        for i, (label, row) in enumerate(zip(LABELS, PROBABILITIES, strict=True)):
            chosen = [f"SIM{i:04d}", 2, CLASSES[label], CLASSES[row.argmax()], row.max()]
            writer.writerow(["simulated, held out", *chosen])


def test_real_and_simulated_results_of_a_bundle_stay_apart(tmp_path):
    make_bundle(tmp_path / "temporal_2")
    results, problems = find_results(tmp_path)
    assert problems == []
    assert {(r.origin, r.split, r.n, r.model) for r in results} == {
        ("simulated", "simulated, held out", "2", "temporal_2"),
        ("real", "real packets", "2", "temporal_2"),
    }
    with pytest.raises(ValueError, match="origins"):
        over_seeds(results)


def test_a_cell_gives_its_objects_surest_first(tmp_path):
    make_bundle(tmp_path / "temporal_2")
    (result,) = [r for r in find_results(tmp_path)[0] if r.origin == "simulated"]
    for i, true in enumerate(CLASSES):
        for j, predicted in enumerate(CLASSES):
            found = result.cell(true, predicted)
            assert len(found) == result.counts[i, j]
            assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert result.cell("nova", "SN") == []
    assert list(result.reliability()) == ["predicted class"]
    assert next(r for r in find_results(tmp_path)[0] if r.origin == "real").cell("SN", "SN") == []


def test_a_run_tells_its_number_of_detections_and_a_table_of_other_objects_is_not_believed(tmp_path):
    make_run(tmp_path / "a")
    (result,) = find_results(tmp_path)[0]
    assert (result.n, result.model, result.split) == ("2", "gru", "test")
    assert set(result.reliability()) == set(CLASSES)
    lines = (tmp_path / "a/test.csv").read_text().splitlines()
    (tmp_path / "a/test.csv").write_text("\n".join(lines[:-5]))
    assert find_results(tmp_path)[0][0].scores is None


def test_an_experiment_gives_a_matrix_per_seed_to_average(tmp_path):
    folder = make_experiment(tmp_path / "recurrent")
    report = json.loads((folder / "experiment.json").read_text())
    published = {"label": "stamp_classifier, published", "confusion": np.eye(3).tolist(), "cells": []}
    beyond = {**published, "classes": [*CLASSES, "other"], "confusion": np.eye(4).tolist()}
    (folder / "experiment.json").write_text(json.dumps({**report, "rows": [*report["rows"], published, beyond]}))
    results = find_results(tmp_path)[0]
    seeds = [r for r in results if r.model == "gru"]
    assert [r.seed for r in seeds] == ["0", "1"]
    assert seeds[0].scores is not None
    assert len({r.title for r in seeds}) == 1
    classes, mean, spread = over_seeds(seeds)
    assert classes == CLASSES
    assert mean.sum(1) == pytest.approx(np.ones(3))
    assert (spread >= 0).all()
    assert [r.classes for r in results if "published" in r.model] == [CLASSES, (*CLASSES, "other")]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"classes": ["a"], "confusion": "x"}', '{"confusion": [[1, 2]], "classes": ["a"]}']
)
def test_a_file_that_is_no_report_does_no_harm(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    results, _ = find_results(tmp_path)
    assert results == []


def test_sets_within_sets_are_told_apart_and_drift_is_of_real_objects(tmp_path):
    (tmp_path / "stamp").mkdir()
    periods = {"before": BLOCK, "after": BLOCK}
    (tmp_path / "stamp/drift.json").write_text(
        json.dumps({"report": {"both": periods, "one": periods}, "as_few": {"before": [BLOCK]}, "packets": {}})
    )
    results = find_results(tmp_path)[0]
    assert len({result.title for result in results}) == 4
    assert {result.origin for result in results} == {"real"}


def test_precision_at_natural_rates_is_lower_for_the_rare_class(tmp_path):
    make_run(tmp_path / "a")
    result = find_results(tmp_path)[0][0]
    precision = result.counts[1, 1] / result.counts[:, 1].sum()
    found, low, high = result.natural_precision()["SN"]
    assert found < precision
    assert low < found < high


def test_natural_rates_of_five_classes_count_what_is_bogus_too():
    result = Result("a", "a", "1", "real", "", CLASSES_5, 98 * np.eye(5) + 0.4)
    assert sum(result.natural_rates().values()) == pytest.approx(1.0)
    assert result.natural_rates()["bogus"] > result.natural_rates()["SN"]
    three = Result("a", "a", "2", "real", "", CLASSES, 98 * np.eye(3) + 0.4)
    assert result.natural_precision()["SN"][0] < three.natural_precision()["SN"][0]


def test_a_class_without_objects_has_no_precision():
    counts = np.diag([30.0, 20.0, 40.0, 50.0, 0.0])
    found = Result("a", "a", "1", "real", "", CLASSES_5, counts).natural_precision()
    assert set(found) == set(CLASSES_5) - {CLASSES_5[4]}


def test_two_results_are_compared_on_the_objects_that_both_have(tmp_path):
    make_run(tmp_path / "a", seed=0)
    make_run(tmp_path / "b", seed=1)
    first, second = find_results(tmp_path)[0]
    fewer = second.only([f"SIM{i:04d}" for i in range(40)])
    assert fewer.counts.sum() == 40
    a, b = on_common(first, fewer)
    assert a.scores.oids == b.scores.oids
    assert (a.counts.sum(1) == b.counts.sum(1)).all()
    right = [int(np.trace(result.counts)) for result in (a, b)]
    alone = scored_alone(a, b)
    assert alone[0] - alone[1] == right[0] - right[1]
    assert on_common(first, fewer.only([])) is None
    assert on_common(first, Result("c", "c", "", "real", "", CLASSES, np.eye(3))) is None


def test_an_evaluation_made_now_becomes_results_with_their_objects():
    rows = {2: [(f"DEMO{i:02d}", CLASSES[k], p) for i, (k, p) in enumerate(zip(LABELS, PROBABILITIES, strict=True))]}
    report = {"origin": "simulated", "n": {"2": {"model": "temporal_2", **BLOCK}}}
    (result,) = result_of("demo", report, rows, "demo")
    assert result.source == "demo"
    assert len(result.scores.oids) == len(LABELS)


def test_the_matrix_chart_shows_counts_and_row_per_cent_and_can_be_clicked():
    counts = np.array([[8, 2], [0, 0]])
    rows = matrix_rows(("AGN", "SN"), counts)
    assert [(row["count"], row["text"]) for row in rows[:2]] == [(8.0, "80.0 %"), (2.0, "20.0 %")]
    assert rows[2]["text"] == "none"
    assert rows[2]["share"] is None
    spec = confusion_chart(("AGN", "SN"), counts).to_dict()
    assert CELL in {param["name"] for param in spec["params"]}
    assert spec["layer"][0]["encoding"]["color"]["condition"]["scale"]["domain"] == [0, 1]
    assert spec["layer"][0]["encoding"]["x"]["sort"] == ["AGN", "SN"]


def test_a_difference_is_in_points_of_row_per_cent_on_a_fixed_scale():
    first, second = np.array([[9, 1], [2, 8]]), np.array([[50, 50], [20, 80]])
    spec = difference_chart(("AGN", "SN"), first, second).to_dict()
    points = [row["points"] for row in spec["data"]["values"]]
    assert points == pytest.approx([40.0, -40.0, 0.0, 0.0])
    assert spec["layer"][0]["encoding"]["color"]["condition"]["scale"]["domain"] == [-100, 0, 100]


def test_row_shares_of_an_absent_class_are_unknown():
    assert np.isnan(row_shares(np.array([[0.0, 0.0], [1.0, 3.0]]))[0]).all()


def test_reliability_has_the_diagonal_and_intervals():
    bins = [{"probability": 0.5, "frequency": 0.4, "n": 10, "low": 0.2, "high": 0.7}]
    figure = reliability_figure({"SN": bins, "<b>": bins})
    assert [shape.x1 for shape in figure.layout.shapes] == [1, 1]
    assert [title.text for title in figure.layout.annotations] == ["SN", "&lt;b&gt;"]
    assert figure.data[0].error_y.array[0] == pytest.approx(0.3)
