"""Facts about real ZTF packets (TSC_ALERT_ARCHIVE), on the way from bytes to probabilities."""

import csv
import gzip
import json
import math
import time

import numpy as np
import pytest

from tests.made_objects import preprocessor
from tsc_core.bundle import load_bundle, shipped
from tsc_core.cli import main
from tsc_core.features import DYNAMIC, FEATURES, STATIC, read
from tsc_core.inference.bulk import evaluate
from tsc_core.inference.predictor import Predictor
from tsc_core.preprocessing import select_alerts, window_of
from tsc_core.preprocessing.quality import stamp_fault
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import MIN_GAP_HOURS, check_oid

PLACES = ("ra", "dec", "gal_lat", "gal_lon", "ecl_lat", "ecl_lon")


@pytest.fixture(scope="module")
def source(real_archive):
    return PacketSource(real_archive)


@pytest.fixture(scope="module")
def labels(real_archive):
    path = real_archive.with_name("labels.csv")
    if not path.exists():
        pytest.skip("no labels.csv beside the archive")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def sequences(source):
    """Every eighth object, and all that have several packets."""
    several = [oid for oid in source.oids() if len(source._index()[oid]) > 1]
    return [source.fetch(oid) for oid in sorted({*source.oids()[::8], *several})]


def alerts(sequences):
    return [alert for sequence in sequences for alert in sequence.alerts]


def test_every_packet_is_read(source, labels):
    assert source.problems == ()
    assert source.oids() == tuple(sorted(row["objectId"] for row in labels))
    assert sum(len(entries) for entries in source._index().values()) == sum(int(row["n_alerts"]) for row in labels)
    assert all(check_oid(oid).startswith("ZTF") for oid in source.oids())


def test_candids_are_beyond_a_double_and_no_detection_comes_twice(sequences):
    for sequence in sequences:
        candids = [alert.candid for alert in sequence.alerts]
        assert len(set(candids)) == len(candids)
        assert len({float(candid) for candid in candids}) == len(candids)  # neither rounded on the way
        assert all(type(candid) is str and int(candid) > 2**53 for candid in candids)
        times = [alert.mjd for alert in sequence.alerts]
        assert times == sorted(times)
        exposures = [(alert.fid, round(alert.mjd * 8640)) for alert in sequence.alerts]
        earlier = [exposure for exposure, alert in zip(exposures, sequence.alerts, strict=True) if not alert.has_stamps]
        assert all(exposures.count(exposure) == 1 for exposure in earlier)


def test_detections_with_stamps_are_those_of_packets(source, sequences):
    for sequence in sequences:
        stamped = {alert.candid for alert in sequence.alerts if alert.has_stamps}
        assert stamped == {packet.alert.candid for packet in source.packets(sequence.oid)}
        assert all(alert.missing for alert in sequence.alerts if not alert.has_stamps)


def test_stamps_are_native_float32_and_mostly_63_by_63(sequences):
    stamped = [alert for alert in alerts(sequences) if alert.has_stamps]
    for alert in stamped:
        for pixels in (alert.stamps.science, alert.stamps.template, alert.stamps.difference):
            assert pixels.dtype == np.dtype("float32")
            assert pixels.dtype.isnative
            assert max(pixels.shape) <= 63
    faulty = [alert for alert in stamped if stamp_fault(alert)]
    assert 0 < len(faulty) < 0.05 * len(stamped)
    assert all("not 63x63" in stamp_fault(alert) or "all NaN" in stamp_fault(alert) for alert in faulty)


def test_the_features_of_the_paper_are_in_every_packet(sequences):
    stamped = [alert for alert in alerts(sequences) if alert.has_stamps]
    overwritten = [alert for alert in stamped if alert.value("distpsnr1") == 120.0]  # constants of one night's broker
    assert overwritten
    flagged = [(a, f) for s in sequences for a in s.alerts for f in s.flags if a.candid in f]
    false = [(alert, flag) for alert, flag in flagged if flag.startswith("the position of")]
    astray = [alert for alert, flag in false if "counts as missing" in flag]  # no other detection tells where it is
    assert 0 < len(astray) < len(false)
    for name in DYNAMIC + STATIC:
        values = np.array([read(alert, FEATURES[name]) for alert in stamped])
        gone = overwritten if name in ("sgscore1", "distpsnr1") else astray if name in PLACES else ()
        lost = np.array([alert in gone for alert in stamped])
        assert np.isnan(values[lost]).all(), name
        assert np.isfinite(values[~lost]).mean() > 0.95, name
    assert {read(alert, FEATURES["isdiffpos"]) for alert in alerts(sequences)} == {0.0, 1.0}


@pytest.mark.parametrize("window", ["first", "last"])
def test_windows_of_real_objects(sequences, window):
    for sequence in sequences:
        selection = select_alerts(sequence, window)
        used = [alert.candid for alert in selection.used]
        assert set(used) | set(selection.reasons) == {alert.candid for alert in sequence.alerts}
        assert not set(used) & set(selection.reasons)
        gaps = np.diff([alert.mjd for alert in selection.used]) * 24
        assert (gaps >= MIN_GAP_HOURS - 1e-5).all()
        if window == "first":
            assert all(alert.has_stamps for alert in selection.used)


def test_epochs_per_class_are_those_counted_beforehand(source, labels):
    """The table of the archive's own README: asteroids are seen once, variable stars again and again."""
    counts = {"AGN": [], "SN": [], "asteroid": []}
    for row in labels:
        if row["label"] in counts:
            counts[row["label"]].append(len(select_alerts(source.fetch(row["objectId"]), "last").used))
    assert sum(n <= 1 for n in counts["asteroid"]) >= 0.97 * len(counts["asteroid"])
    assert np.median(counts["AGN"]) == 5
    assert np.median(counts["SN"]) == 5


def test_arrays_of_real_objects_are_finite(sequences):
    fitted = preprocessor()
    for sequence in sequences[::4]:
        selection = select_alerts(sequence, "last")
        for n in range(1, len(selection.used) + 1):
            example = fitted(window_of(selection, n), sequence.allwise)
            for array in (example.stamps, example.dynamic, example.static, example.allwise):
                assert np.isfinite(array).all()
            assert example.stamps.min() >= 0
            assert example.stamps.max() <= 1
            assert example.allwise[3] == 1


def test_times_that_contradict_their_candid_are_said(sequences):
    said = [flag for sequence in sequences for flag in sequence.flags]
    assert said
    assert all("jd" in flag or "the position of" in flag for flag in said)


def test_classify_real_objects_of_every_class(random_bundles, real_archive, labels, capsys):
    chosen = {row["label"]: row["objectId"] for row in labels if row["label"]}
    oids = [chosen[label] for label in ("AGN", "SN", "VS", "asteroid", "TDE")]
    texts = []
    for _ in range(2):
        code = main(["classify", *oids, "--source", str(real_archive), "--window", "last", "--json"])
        texts.append(capsys.readouterr().out)
        assert code == 0
    assert texts[0] == texts[1]
    lines = [json.loads(line) for line in texts[0].splitlines()]
    assert [line["oid"] for line in lines] == oids
    for line in lines:
        assert line["steps"]
        assert all(math.isclose(sum(step["probabilities"].values()), 1, abs_tol=1e-9) for step in line["steps"])
        assert all(detection["used"] == (detection["reason"] is None) for detection in line["detections"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stamp", "unified"])
def test_a_shipped_bundle_answers_as_in_the_table_that_its_card_counts(source, name):
    folder = shipped()[name]
    with (folder / "objects.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["set"].startswith("Real")][::9]
    kept = {(int(row["n"]), row["oid"]): row for row in rows}
    bundle = load_bundle(folder)
    found = evaluate(Predictor([bundle]), source, {row["oid"]: row["label"] for row in rows}, "last")
    answers = {(n, oid): row for n, objects in found.rows.items() for oid, _, row in objects}
    assert kept.keys() <= answers.keys()
    for (n, oid), row in kept.items():
        expected = [float(row[name]) for name in found.classes[n]]
        np.testing.assert_allclose(answers[n, oid], expected, atol=2e-3, err_msg=f"{oid} at n = {n}")


def test_looking_objects_up_costs_little_more_than_decompressing(real_archive):
    def decompress():
        with gzip.open(real_archive) as file:
            while file.read(1 << 20):
                pass

    def look_up():
        found = PacketSource(real_archive)
        found.fetch(found.oids()[0])

    rounds = [(spent(look_up), spent(decompress)) for _ in range(9)]  # in turns: a busy spell meets both
    found, least = map(min, zip(*rounds, strict=True))
    assert found < 1.5 * least


def spent(work):
    start = time.process_time()
    work()
    return time.process_time() - start
