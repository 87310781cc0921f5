"""Made objects: repeatable, in the real packet format, and physical."""

import errno
import gzip
import io
import math
import tarfile
from dataclasses import replace

import fastavro
import numpy as np
import pytest

from tsc_core.cli import FAILED, main
from tsc_core.data.simulate import (
    artefacts,
    avro,
    cadence,
    catalogues,
    demo,
    exposures,
    lightcurves,
    masks,
    measure,
    origins,
    render,
    scene,
    sky,
)
from tsc_core.data.simulate.archive import (
    encode_object,
    label_row,
    made_sequence,
    packet_fields,
    packet_files,
    write_archive,
)
from tsc_core.data.simulate.population import Recipe, make_object, simulate_objects
from tsc_core.features import galactic
from tsc_core.sources.packets import PacketSource, decode_packets
from tsc_core.survey import CLASSES, MADE_OID


@pytest.fixture(scope="module")
def objects():
    return list(simulate_objects(15, seed=11))


def test_classes_in_turn_and_ids(objects):
    assert [made.label for made in objects] == [CLASSES[number % 5] for number in range(15)]
    assert len({made.oid for made in objects}) == 15
    assert all(MADE_OID.fullmatch(made.oid) for made in objects)


def test_same_seed_same_bytes_with_any_number_of_processes(tmp_path, objects):
    write_archive(tmp_path / "a.tar.gz", objects)
    write_archive(tmp_path / "b.tar.gz", simulate_objects(15, seed=11, processes=2))
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    assert (tmp_path / "a.labels.csv").read_text() == (tmp_path / "b.labels.csv").read_text()
    other = next(iter(simulate_objects(1, seed=12)))
    assert encode_object(other) != encode_object(objects[0])


def test_object_does_not_depend_on_where_the_list_begins(objects):
    later = next(iter(simulate_objects(1, seed=11, first=7)))
    assert packet_files(later) == packet_files(objects[7])


def test_archive_is_read_back(tmp_path, objects):
    write_archive(tmp_path / "night.tar.gz", objects)
    with tarfile.open(tmp_path / "night.tar.gz") as archive:
        assert archive.getmembers()[0].name == f"{objects[0].packets[0].candidate['candid']}.avro"
    source = PacketSource(tmp_path / "night.tar.gz")
    assert source.problems == ()
    assert set(source.oids()) == {made.oid for made in objects}
    for made in objects:
        read, direct = source.fetch(made.oid), made_sequence(made)
        assert [a.candid for a in read.alerts] == [a.candid for a in direct.alerts]
        assert [dict(a.record) for a in read.alerts] == [dict(a.record) for a in direct.alerts]
        for one, two in zip(read.alerts, direct.alerts, strict=True):
            assert one.has_stamps == two.has_stamps
            if one.has_stamps:
                assert np.array_equal(one.stamps.science, two.stamps.science, equal_nan=True)
        assert read.limits == direct.limits
        assert read.flags == ()


def test_packets_have_the_bytes_of_the_library(objects):
    record = packet_fields(objects[0].oid, objects[0].packets[0])
    ours, theirs = avro.encode_packet(record), io.BytesIO()
    fastavro.writer(theirs, avro.SCHEMA, [record], codec="null", sync_marker=ours[-16:])
    assert ours == theirs.getvalue()


def test_schema_is_zipped_fits_in_avro(objects):
    name, raw = packet_files(objects[0])[0]
    record = next(iter(fastavro.reader(io.BytesIO(raw))))
    assert record["schemavsn"] == "4.01"
    assert name == f"{record['candid']}.avro"
    assert record["candid"] > 2**53
    assert {field["name"] for field in avro.CANDIDATE_SCHEMA["fields"]} == set(record["candidate"])
    assert next(decode_packets(raw)).alert.stamps.shape == (63, 63)


def test_stamp_bytes_are_big_endian_fits():
    pixels = np.arange(6, dtype=np.float32).reshape(2, 3)
    data = avro.encode_stamp(pixels)
    assert data[4:8] == b"\0\0\0\0"  # no time in the gzip header
    from astropy.io import fits

    with fits.open(io.BytesIO(gzip.decompress(data))) as hdus:
        assert hdus[0].header["BITPIX"] == -32
        assert np.array_equal(hdus[0].data, pixels)


def test_difference_is_science_minus_template(objects):
    """Light of the subject: the sign of the cutouts agrees with isdiffpos, and the flux with magpsf."""
    checked = 0
    for made in objects:
        for packet in made.packets:
            science, template, difference = packet.stamps
            sign = 1.0 if packet.candidate["isdiffpos"] == "t" else -1.0
            core = np.s_[28:35, 28:35]
            if made.label == "bogus" or packet.candidate["scorr"] < 12 or np.isnan(science).any():
                continue
            expected = sign * (science - template)[core].sum()
            assert difference[core].sum() > 0
            if made.label in ("SN", "asteroid"):  # no star below: both subtractions see the same light
                flux = 10 ** (-0.4 * (packet.candidate["magpsf"] - _zero(packet)))
                assert difference[core].sum() == pytest.approx(flux, rel=0.4)
            else:
                assert expected == pytest.approx(difference[core].sum(), abs=float(0.8 * abs(expected) + 500))
            checked += 1
    assert checked >= 5


def _zero(packet):
    return packet.candidate["zpmed"] + 0.02


def test_counters_grow(objects):
    for made in objects:
        detections = [packet.candidate["ndethist"] for packet in made.packets]
        visits = [packet.candidate["ncovhist"] for packet in made.packets]
        assert detections == sorted(detections)
        assert visits == sorted(visits)
        assert all(d <= v for d, v in zip(detections, visits, strict=True)) or made.label == "bogus"
        assert all(p.candidate["jdstarthist"] <= p.candidate["jd"] for p in made.packets)


def test_history_is_of_the_last_thirty_days(objects):
    for made in objects:
        for packet in made.packets:
            age = [packet.candidate["jd"] - entry["jd"] for entry in packet.history]
            assert all(0 < days <= 30.001 for days in age)


def test_an_asteroid_is_there_for_one_night(objects):
    rocks = [made for made in objects if made.label == "asteroid"]
    assert all(len(made.packets) == 1 for made in rocks)
    assert not any(entry.get("magpsf") for made in rocks for entry in made.packets[0].history)


def test_labels_have_empty_cells_for_missing_bands(objects):
    row = label_row(replace(objects[0], allwise=None))
    assert (row["w1"], row["label"]) == ("", "AGN")


def test_recipe_limits_classes_and_detections():
    made = list(simulate_objects(4, seed=3, recipe=Recipe(classes=("SN", "VS"), detections=2)))
    assert [one.label for one in made] == ["SN", "VS", "SN", "VS"]
    assert max(len(one.packets) for one in made) <= 2


def test_site_gives_its_own_exposure():
    site = cadence.Site(150.0, 20.0, 59000.3, 1, 20.3, 2.6, 400, "asteroid")
    made = next(iter(simulate_objects(1, seed=5, recipe=Recipe(sites=(site,)))))
    candidate = made.packets[-1].candidate
    assert (made.label, candidate["fid"], candidate["ncovhist"]) == ("asteroid", 1, 400)
    assert candidate["jd"] == pytest.approx(59000.3 + 2400000.5)
    assert candidate["diffmaglim"] == pytest.approx(20.3)
    assert candidate["fwhm"] * candidate["seeratio"] == pytest.approx(2.6, rel=0.01)


@pytest.mark.parametrize("label", CLASSES)
def test_every_class_after_years(label):
    made = make_object("SIM1", label, np.random.default_rng(4), 3, fresh=False)
    assert made.packets
    assert all(math.isfinite(made.packets[0].candidate[name]) for name in ("magpsf", "sigmapsf", "fwhm", "sgscore1"))


def test_seeing_is_inverted():
    stated, fid = np.array([2.1, 2.9, 2.9]), np.array([1, 1, 2])
    assert cadence.stated_seeing(cadence.drawn_seeing(stated, fid), fid) == pytest.approx(stated)


def test_only_bright_sources_are_thinned():
    mags = np.repeat([[16.0] * 4, [20.0] * 4], 4000, axis=0)
    none = np.zeros(len(mags))
    kept = scene._thinned(scene.Field(none, none, mags, none), 18.0, 0.1, np.random.default_rng(0))
    assert (kept.mags[:, 1] == 20.0).sum() == 4000
    assert (kept.mags[:, 1] == 16.0).mean() == pytest.approx(10**-0.2 / (1 + 10**-0.2), abs=0.02)


def test_speckle_follows_the_light_and_is_rough():
    star = 5000.0 * np.exp(-0.5 * (render.grid()[:, None] ** 2 + render.grid() ** 2) / 1.2**2)
    light = np.stack([star, 2.0 * star] * 60)
    left = exposures._speckle(light, np.random.default_rng(1))
    assert left[1::2].std() / left[::2].std() == pytest.approx(2.0, rel=0.3)
    assert abs((left[..., 1:] * left[..., :-1]).mean()) < 0.1 * (left**2).mean()
    assert np.abs(left[:, :8]).max() < 1.0


def _star(coma: float, streak: float, size: int = 63) -> np.ndarray:
    one = np.ones(1)
    psf = render.Psf(2.0 * one, 2.0 * one, np.array([[0.0, coma]]), streak * one)
    return render.point_sources(1000.0 * one[:, None], 0.0 * one[:, None], 0.0 * one[:, None], psf, size)[0]


def test_a_star_keeps_its_light_whatever_its_profile():
    for coma, streak in ((0.0, 0.0), (1.0, 1.0), (-1.0, 4.0)):
        assert _star(coma, streak).sum() == pytest.approx(1000.0, rel=0.01)


def test_coma_pushes_the_halo_and_the_streak_follows_the_row():
    even, leaning, streaked = _star(0.0, 0.0), _star(1.0, 0.0), _star(0.0, 4.0)
    assert even[36, 31] == pytest.approx(even[26, 31], rel=1e-4)
    assert leaning[36, 31] > 1.5 * leaning[26, 31]
    assert streaked[31, 45] > 5.0 * streaked[45, 31]


def test_what_is_sharper_than_a_star_is_blurred_and_stars_are_not():
    star, pixel = _star(0.0, 0.0), np.zeros((63, 63))
    pixel[31, 31] = 1000.0
    blurred = render.band_limited(np.stack([star, pixel]), exposures.SOFTENED)
    grid = render.grid() ** 2 + render.grid()[:, None] ** 2
    core = grid < 50
    assert blurred.sum(axis=(1, 2)) == pytest.approx([star.sum(), 1000.0])
    assert (blurred[0] * grid * core).sum() == pytest.approx((star * grid * core).sum(), rel=0.02)
    assert blurred[0].max() > 0.85 * star.max()
    once, twice = (1 - 2 * exposures.SOFTENED) ** 2, (1 - 4 * exposures.SOFTENED + 6 * exposures.SOFTENED**2) ** 2
    assert blurred[1].max() == pytest.approx(1000.0 * (2 * once - twice))
    assert blurred[1].max() < 0.8 * 1000.0 < blurred[0].max() / star.max() * 1000.0


def test_residuals_hardly_follow_the_seeing():
    sites = [
        cadence.observe(np.array([59000.0]), np.array([2]), np.random.default_rng(0), np.array([s])) for s in (2.3, 4.0)
    ]
    spreads = []
    for visits in sites:
        extra = [np.abs(artefacts.bad_subtraction(visits, np.random.default_rng(seed)).extra[0]) for seed in range(40)]
        near = render.grid(render.FRAME) ** 2
        spreads.append(np.mean([(e * near).sum() / e.sum() for e in extra]) ** 0.5)
    assert 1.0 < spreads[1] / spreads[0] < 0.6 * visits.seeing[0] / sites[0].seeing[0]


def test_bright_stars_hide_their_surroundings_from_ps1():
    rng = np.random.default_rng(3)
    away = np.concatenate([[0.0], rng.uniform(0.5, 9.0, 400)])
    mags = np.repeat([[20.0] * 4], 401, axis=0)
    shades = []
    for bright in (17.0, 13.5):
        mags[0] = bright
        shades.append(catalogues._shade(scene.Field(away, 0.0 * away, mags, 0.0 * away))[1:])
    faint, strong = shades
    assert faint[away[1:] < 1.5].min() > 0.9
    assert faint[away[1:] > 5.0].max() < 0.05
    assert strong.sum() > 1.2 * faint.sum()


def test_what_is_cut_out_leaves_the_candidate():
    rng = np.random.default_rng(5)
    stars = scene.Field(rng.uniform(-40, 40, 9), rng.uniform(-40, 40, 9), np.full((9, 4), 12.0), np.zeros(9))
    drawn = np.array([masks.draw_mask(63, stars, rng) for _ in range(200)])
    assert not drawn[:, 29:34, 29:34].any()
    assert drawn.any(axis=(1, 2)).all()
    dark = scene.Field(*(np.zeros(0),) * 2, np.zeros((0, 4)), np.zeros(0))
    assert 0.05 < np.mean([masks.draw_mask(63, dark, rng).any() for _ in range(600)]) < 0.25


def test_classifiers_of_the_survey_tell_changes_from_faults():
    merit = np.random.default_rng(0).standard_normal(4000)
    for good, bad in zip(
        *(measure._verdicts(merit, kind, np.random.default_rng(1)) for kind in (True, False)), strict=True
    ):
        assert min(good.min(), bad.min()) >= 0.0
        assert max(good.max(), bad.max()) <= 1.0
        assert np.median(good) > np.median(bad) + 0.2
        assert np.corrcoef(merit, good)[0, 1] > 0.2


def test_light_curves_keep_their_analytic_form():
    times = np.linspace(0, 1, 2001)
    wave = lightcurves.pulsator(58000 + times, 1.0, 0.0, 2.0, 0.0)
    assert (wave.min(), wave.max()) == (pytest.approx(-1, abs=1e-4), pytest.approx(1, abs=1e-4))
    dips = lightcurves.eclipses(58000 + times, 1.0, 0.0, (0.6, 0.3), 0.03)
    assert (dips[0], dips[1000]) == (pytest.approx(0.6), pytest.approx(0.3))
    shape = lightcurves.Explosion(18.0, 15.0, 0.08, 30.0, 0.02)
    assert lightcurves.explosion(np.array([-1.0, 15.0]), shape).tolist() == [lightcurves.FAINT, pytest.approx(18.0)]


@pytest.mark.parametrize(
    ("subclass", "low", "high"),
    [("RR Lyrae", 0.3, 0.5), ("eclipsing binary", 0.15, 0.4), ("CV", 0.15, 0.4), ("Cepheid", 0.0, 0.2)],
)
def test_old_stars_are_far_from_the_plane_too(subclass, low, high):
    rng = np.random.default_rng(0)
    found = [origins.draw_origin("VS", rng, subclass) for _ in range(300)]
    far = np.mean([abs(galactic(origin.ra, origin.dec)[1]) > 30.0 for origin in found])
    assert low < far < high
    assert all(origin.subclass == subclass and origin.dec > sky.SOUTH_LIMIT for origin in found)


def test_allwise_colours_scatter_about_those_of_the_kind_and_end_at_its_depth():
    rng = np.random.default_rng(0)
    found = [origins.draw_origin("AGN", rng, "QSO").wise for _ in range(400)]
    mags = np.array([mags for mags in found if mags])
    assert 300 < len(mags) < 400
    colour = mags[:, 0] - mags[:, 1]
    (mean, scatter), *_ = origins.QSO_COLOURS
    assert np.nanmean(colour) == pytest.approx(mean, abs=0.06)
    assert scatter < np.nanstd(colour) < 2.0 * scatter  # the noise of both bands comes to it
    assert np.isfinite(mags[:, 0]).all()
    assert np.isnan(mags).mean(0)[3] > np.isnan(mags).mean(0)[1]
    assert np.nanmax(mags[:, 3]) < 11.0


def test_random_walk_has_its_variance_and_memory():
    rng = np.random.default_rng(0)
    walks = np.array([lightcurves.random_walk(np.array([0.0, 50.0, 5000.0]), 50.0, 0.3, rng) for _ in range(4000)])
    assert walks.std(axis=0) == pytest.approx(np.full(3, 0.3), rel=0.06)
    correlation = np.corrcoef(walks.T)
    assert correlation[0, 1] == pytest.approx(math.exp(-1), abs=0.05)
    assert abs(correlation[0, 2]) < 0.05


def test_demo_has_its_awkward_cases():
    made = {one.oid: one for one in demo.demo_objects()}
    assert list(made) == [f"DEMO{number:02d}" for number in range(1, 31)]
    by_damage = {case.damage: made[f"DEMO{place:02d}"] for place, case in enumerate(demo.CASES, 1) if case.damage}
    assert by_damage["clipped"].packets[1].stamps[0].shape == (62, 63)
    assert by_damage["missing"].packets[2].stamps is None
    assert by_damage["no history"].packets[0].history is None
    times = [packet.candidate["jd"] for packet in by_damage["pair"].packets]
    assert min(np.diff(times)) < 6 / 24
    assert {len(one.packets) for one in made.values()} >= {1, 2, 3, 4, 5, 6, 7, 8}


def test_a_full_disk_is_named_and_leaves_no_half_archive(tmp_path, monkeypatch, capsys):
    def full(path, files, level):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(avro, "write_tar", full)
    out = tmp_path / "night.tar.gz"
    assert main(["simulate", "--objects", "1", "--procs", "1", "--out", str(out)]) == FAILED
    assert f"{out}: No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
