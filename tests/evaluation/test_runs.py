import json
import math
import time

import pytest

from tests.app.made_runs import BREAKAGES, break_run, make_experiment, make_folder, make_run
from tsc_core.evaluation.cards import read_cards
from tsc_core.evaluation.runs import (
    Unreadable,
    differing,
    find_experiments,
    find_runs,
    metrics_of,
    over_seeds,
    read_curve,
    smoothed,
)


def test_three_hundred_runs_ten_of_them_broken_are_listed_quickly(tmp_path):
    make_folder(tmp_path, good=290, broken=10)
    started = time.process_time()
    runs = find_runs(tmp_path)
    assert time.process_time() - started < 3
    assert len(runs) == 300
    assert sum(run.broken for run in runs) == 10
    assert all(run.problem for run in runs if run.broken)


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_run_says_what_is_wrong(tmp_path, how):
    break_run(tmp_path / "one", how)
    (run,) = find_runs(tmp_path)
    assert run.broken
    with pytest.raises(Unreadable):
        read_curve(run)


def test_a_run_that_goes_on_is_not_broken_and_its_half_line_is_left_out(tmp_path):
    make_run(tmp_path / "one")
    for name in ("result.json", "test.json"):
        (tmp_path / "one" / name).unlink()
    with (tmp_path / "one/metrics.csv").open("a") as file:
        file.write("210,0.1,0.")
    (run,) = find_runs(tmp_path)
    assert not run.broken
    assert run.problem == "not finished: no result.json"
    assert read_curve(run)["step"][-1] == 200


def test_numbers_beyond_all_use_do_not_hide_the_other_runs(tmp_path):
    for name in ("long", "many_digits", "good"):
        make_run(tmp_path / name)
    (tmp_path / "long/result.json").write_text(json.dumps({"best_step": 10**400, "val_loss": 0.5}))
    (tmp_path / "long/metrics.csv").write_text(f"step,val_loss\n1,{'5' * 200_000}\n")
    (tmp_path / "many_digits/result.json").write_text(f'{{"best_step": {"1" * 5000}}}')
    good, long, many_digits = find_runs(tmp_path)
    assert metrics_of(good)["best_step"] > 0
    assert metrics_of(long)["val_loss"] == 0.5
    assert "best_step" not in metrics_of(long)
    assert many_digits.problem == "result.json cannot be read (ValueError)"
    with pytest.raises(Unreadable, match=r"long: metrics\.csv cannot be read"):
        read_curve(long)


def test_no_folder_no_runs(tmp_path):
    assert find_runs(tmp_path / "absent") == []
    assert find_experiments(tmp_path / "absent") == []


def test_configurations_are_compared_by_what_differs(tmp_path):
    make_run(tmp_path / "a", seed=0, units=32)
    make_run(tmp_path / "b", seed=1, units=64)
    assert differing(find_runs(tmp_path)) == ["model.recurrent.units", "training.seed"]


def test_seeds_are_gathered_and_nothing_else(tmp_path):
    for seed in range(3):
        make_run(tmp_path / f"gru{seed}", seed=seed)
    make_run(tmp_path / "x/lstm", kind="lstm")
    for run in find_runs(tmp_path):
        assert "test.accuracy" in metrics_of(run)
    runs = [run for run in find_runs(tmp_path) if run.name.startswith("gru")]
    groups = over_seeds(
        [run.__class__("search/" + run.name, run.path, run.config, run.result) for run in runs], "val_accuracy"
    )
    assert len(groups) == 1
    assert groups[0].mean == pytest.approx(0.901)
    assert groups[0].std == pytest.approx(0.001)
    assert math.isnan(over_seeds(find_runs(tmp_path)[3:], "val_accuracy")[0].std)


def test_smoothing_keeps_a_constant_and_passes_nan_through():
    assert smoothed([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])
    assert smoothed([1.0, 3.0], 0.0) == [1.0, 3.0]
    assert math.isnan(smoothed([1.0, math.nan], 0.5)[1])


def test_an_experiment_gives_its_table_and_its_runs(tmp_path):
    make_experiment(tmp_path / "recurrent")
    (experiment,) = find_experiments(tmp_path)
    assert experiment.rows[0]["paper (%)"] == 91.3
    assert experiment.rows[0]["ours (%)"] == 80.0
    assert experiment.folder == "recurrent"
    runs = find_runs(tmp_path)
    assert len(runs) == 4
    assert read_curve(runs[0])["step"] == [10, 20, 30, 40, 50]
    assert [group.runs[0].config["model.recurrent.kind"] for group in over_seeds(runs, "test.accuracy")]


def test_a_comparison_is_told_in_words(tmp_path):
    against = {"difference": 1.25, "interval": [-0.5, 3.0], "p": 0.04, "p_floor": 0.0079, "cohen_d": None}
    row = {"label": "b", "ours": {"mean": 81.0}, "reference": "a", "against_reference": against}
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "experiment.json").write_text(json.dumps({"rows": [{"label": "a"}, row], "cells": []}))
    first, second = find_experiments(tmp_path)[0].rows
    assert (first["against"], first["95 %"], first["p"]) == (None, None, None)
    assert (second["against"], second["95 %"], second["least p"]) == ("a", "-0.50 to +3.00", 0.0079)


@pytest.mark.parametrize("content", ["", "[]", '{"rows": 3}', '{"cells": [1]}', '{"rows": [1], "cells": {}}'])
def test_a_broken_experiment_is_listed_with_its_fault(tmp_path, content):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/experiment.json").write_text(content)
    assert find_runs(tmp_path)[0].broken
    assert find_experiments(tmp_path)[0].name == "bad"


def test_cards_are_read_without_the_weights_and_broken_ones_are_told(tmp_path):
    (tmp_path / "good").mkdir()
    config = {"model": {"kind": "unified", "n": 5}}
    (tmp_path / "good/bundle.json").write_text(json.dumps({"config": config, "members": 2}))
    (tmp_path / "good/weights.safetensors").write_bytes(bytes(10))
    (tmp_path / "good/card.md").write_text("# good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bundle.json").write_text("{")
    bad, good = read_cards(tmp_path)
    assert "cannot be read" in bad.problem
    assert (good.n, good.members, good.size, good.text, good.problem) == ("1 to 5", 2, 10, "# good", None)
