"""What is fitted on real alerts: joint distributions, the numbers taken from pixels, and the command that fits."""

import json

import numpy as np
import pytest

from tsc_core.data.simulate import calibrate, calibration, pixels
from tsc_core.data.simulate.archive import write_archive
from tsc_core.data.simulate.calibrate_tables import fit_tables
from tsc_core.data.simulate.joint import Joint, fit_joint
from tsc_core.data.simulate.population import Recipe, simulate_objects
from tsc_core.data.simulate.render import correlated


@pytest.fixture(scope="module")
def pair():
    """A condition and two targets that follow it, one of them an exact copy of a group's constant."""
    rng = np.random.default_rng(3)
    x = rng.normal(20.0, 1.0, 3000)
    kind = np.where(rng.uniform(size=3000) < 0.25, "flat", "free")
    y = np.where(kind == "flat", 7.0, np.exp(0.5 * (x - 20.0) + 0.3 * rng.standard_normal(3000)))
    z = -2.0 * x + rng.standard_normal(3000)
    stored = fit_joint({"x": x}, {"y": y, "z": z}, list(kind))
    return Joint.from_dict(json.loads(json.dumps(stored)))


def test_joint_keeps_what_goes_together(pair):
    rng = np.random.default_rng(8)
    x = rng.normal(20.0, 1.0, 4000)
    drawn, group = pair.draw({"x": x}, rng)
    flat = np.array(pair.groups)[group] == "flat"
    assert flat.mean() == pytest.approx(0.25, abs=0.03)
    assert np.all(drawn["y"][flat] == 7.0)
    assert np.corrcoef(x[~flat], np.log(drawn["y"][~flat]))[0, 1] == pytest.approx(0.857, abs=0.03)
    assert np.corrcoef(x, drawn["z"])[0, 1] == pytest.approx(-0.894, abs=0.03)
    assert np.median(drawn["z"]) == pytest.approx(-40.0, abs=0.15)


def test_joint_draws_again_with_the_same_stream(pair):
    x = np.linspace(17.0, 23.0, 9)
    first, second = (pair.draw({"x": x}, np.random.default_rng(1))[0] for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_groups_are_balanced_under_other_conditions(pair):
    rng = np.random.default_rng(5)
    x = rng.normal(20.0, 1.0, 3000)
    low = np.where(x < 19.5, "low", "high")
    stored = fit_joint({"x": x}, {"y": rng.normal(size=3000)}, list(low))
    given = {"x": rng.normal(19.7, 1.0, 3000)}
    before = Joint.from_dict(stored).draw(given, np.random.default_rng(0))[1].mean()
    calibrate._balance(stored, given, {})
    after = Joint.from_dict(stored).draw(given, np.random.default_rng(0))[1].mean()
    assert abs(after - (low == "low").mean()) < 0.02 < abs(before - (low == "low").mean())


def test_scatter_of_the_measurement_is_taken_away():
    rng = np.random.default_rng(2)
    value = 0.3 + 0.04 * rng.standard_normal(4000)
    found = calibrate._without(value + 0.03 * rng.standard_normal(4000), 0.03)
    assert (np.median(found), found.std()) == (pytest.approx(0.3, abs=0.01), pytest.approx(0.04, rel=0.07))


def test_other_contents_are_used_for_a_while():
    shipped = calibration.table("rb")
    other = json.loads(calibration.PATH.read_text())
    other["tables"]["rb"]["edges"] = [7.0]
    with calibration.using(other):
        assert calibration.table("rb").edges.tolist() == [7.0]
    assert calibration.table("rb").edges.tolist() == shipped.edges.tolist()


def test_joint_leaves_out_rows_with_missing_numbers():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 300))
    y[::3] = np.nan
    assert fit_joint({"x": x}, {"y": y})["alerts"] == 200


@pytest.mark.parametrize("ties", [(0.0, 0.0, 0.0), (0.1, 0.2, -0.05), (0.45, 0.5, 0.1), (-0.1, -0.05, 0.02)])
def test_noise_has_the_ties_that_it_is_asked_for(ties):
    noise = np.random.default_rng(2).standard_normal((40, 63, 63)) * 3.0
    made = correlated(noise, *(np.full((40, 1, 1), tie) for tie in ties))
    found = [
        (made[..., 1:] * made[..., :-1]).mean(),
        (made[:, 1:] * made[:, :-1]).mean(),
        (made[..., 2:] * made[..., :-2]).mean(),
    ]
    assert np.array(found) / made.var() == pytest.approx(np.array(ties), abs=0.02)
    assert made.std() == pytest.approx(3.0, rel=0.02)


def test_calm_numbers_are_those_of_the_noise():
    rng = np.random.default_rng(5)
    star = 4000.0 * np.exp(-0.5 * ((np.arange(63) - 31)[:, None] ** 2 + (np.arange(63) - 31) ** 2) / 2.0)
    images = [correlated(rng.standard_normal((1, 63, 63)), 0.2, 0.1, 0.0)[0] * noise for noise in (8.0, 2.0, 5.0)]
    found = dict(
        zip(
            pixels.CALM, pixels.calm_numbers(images[0] + 120.0 + star, images[1] + 100.0 + star, images[2]), strict=True
        )
    )
    assert found["science_level"] == pytest.approx(120.0, abs=1.0)
    assert [found[f"{n}_noise"] for n in ("science", "template", "difference")] == pytest.approx([8, 2, 5], rel=0.08)
    assert [found["science_tie_x"], found["science_tie_y"]] == pytest.approx([0.2, 0.1], abs=0.06)


def test_centre_numbers_of_a_round_spot():
    grid = pixels.BOX
    box = 500.0 * np.exp(-0.5 * ((grid[:, None] - 0.5) ** 2 + grid**2) / 1.2**2)[None]
    seen = pixels.centre_numbers(box, box, np.zeros_like(box), np.array([1.0]))
    window = np.sqrt(1.0 / (1.0 / 1.2**2 + 1.0 / pixels.WINDOW**2))
    assert np.exp(seen["width"][0]) == pytest.approx(window, rel=0.03)
    assert seen["ratio"][0] == pytest.approx(0.0, abs=0.03)
    assert seen["away"][0] == pytest.approx(0.5 * (window / 1.2) ** 2, abs=0.03)
    assert seen["balance"][0] == pytest.approx(1.0)


def test_command_fits_an_archive(tmp_path, monkeypatch, capsys):
    write_archive(tmp_path / "night.tar.gz", simulate_objects(90, 6, Recipe(detections=1)))
    out = tmp_path / "calibration.json"
    assert calibrate.main([str(tmp_path / "night.tar.gz"), "--out", str(out)]) == 0
    assert "90 alerts" in capsys.readouterr().out
    stored = json.loads(out.read_text())
    shipped = json.loads(calibration.PATH.read_text())
    assert stored["joints"].keys() == shipped["joints"].keys()
    assert stored["tables"].keys() == shipped["tables"].keys()
    law = Joint.from_dict(stored["joints"]["exposure"])
    assert stored["own"].keys() == shipped["own"].keys()
    given = {"fid": np.array([1.0, 2.0]), "limit": np.array([20.5, 20.3]), "seeing": np.array([2.2, 2.0])}
    drawn, _ = law.draw(given, np.random.default_rng(0))
    assert np.all((np.exp(drawn["sky"]) > 5) & (np.exp(drawn["sky"]) < 3000))


def test_tables_of_fields_that_an_archive_lacks_borrow_the_others():
    night = [packet.candidate for made in simulate_objects(60, 6, Recipe(detections=1)) for packet in made.packets]
    sparse = [record for record in night if record["nmtchps"] < calibration.CROWDED]
    tables = fit_tables(sparse)
    assert tables["unknown_on_dense"]["quantiles"] == tables["unknown_on_sparse"]["quantiles"]
    with pytest.raises(ValueError, match="no alert of 0 to fit the table rb to"):
        fit_tables([])


def test_command_names_what_it_lacks(tmp_path, capsys):
    assert calibrate.main([str(tmp_path / "none.tar.gz")]) == 2
    assert "none.tar.gz" in capsys.readouterr().err
    write_archive(tmp_path / "few.tar.gz", simulate_objects(2, 6, Recipe(detections=1)))
    assert calibrate.main([str(tmp_path / "few.tar.gz"), "--out", str(tmp_path / "x.json")]) == 1
    assert "50 needed" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
