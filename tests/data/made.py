"""Small sequences for the tests of datasets, by way of real packets."""

from dataclasses import replace
from functools import cache

from tests.packet_maker import make_object, make_packet
from tsc_core.alerts import AllWise
from tsc_core.sources.packets import PacketSource

LABELS = ("AGN", "SN", "VS")


def oid_of(number):
    return "ZTF18" + "".join("abcdefghij"[int(digit)] for digit in f"{number:07d}")


def source_of(packets):
    """A source over {name: packet bytes}."""
    return PacketSource.from_uploads(list(packets.items()), "made")


@cache
def made(number, detections=5, **options):
    """Object `number`, of class `LABELS[number % 3]`, every other one with an AllWISE source."""
    oid = oid_of(number)
    mjds = [58300.2 + number % 50 + 3.1 * place for place in range(detections)]
    packets = make_object(oid, mjds, ra=10.0 + number % 300, fwhm=2.0 + 0.1 * (number % 7), **options)
    match = AllWise(12.1 + number % 5, 11.9, 9.8, float("nan"), 0.4, f"J{number:06d}", 1) if number % 2 else None
    sequence = source_of(packets).fetch(oid)
    return replace(sequence, label=LABELS[number % 3], allwise=match, allwise_asked=True)


def made_many(count, **options):
    return [made(number, **options) for number in range(count)]


def difficult():
    """One object with all that can be odd: clipped and blank stamps, NaN rows, a lost cutout, history."""
    oid, times = oid_of(777), (58400.1, 58402.2, 58404.3, 58404.4, 58410.5, 58412.6)
    options = ({}, {"shape": (63, 41)}, {"nan": 7}, {}, {"nan": -1}, {"cutouts": ("science", "template")})
    packets = {}
    for mjd, option in zip(times, options, strict=True):
        packets |= {f"{mjd}": make_packet(oid, mjd, fid=2, **option)}
    sequence = source_of(packets | make_object(oid, (58420.1, 58424.2))).fetch(oid)
    return replace(sequence, flags=("detection lost", 'quote " and é'))


def odd(number, **fields):
    """Object `number` with fields of its last alert replaced."""
    sequence = made(number)
    return replace(sequence, alerts=(*sequence.alerts[:-1], replace(sequence.alerts[-1], **fields)))


def same_pixels(a, b):
    return (a is None and b is None) or all(
        a.channel(name).tobytes() == b.channel(name).tobytes() and a.channel(name).shape == b.channel(name).shape
        for name in ("science", "template", "difference")
    )


def assert_same_sequence(found, given):
    assert (found.oid, found.source, found.label, found.flags) == (given.oid, given.source, given.label, given.flags)
    assert found.limits == given.limits
    assert repr(found.allwise) == repr(given.allwise)  # repr: a missing band is NaN
    assert found.allwise_asked == given.allwise_asked
    assert len(found.alerts) == len(given.alerts)
    for a, b in zip(found.alerts, given.alerts, strict=True):
        assert (a.oid, a.candid, a.mjd, a.fid, a.missing) == (b.oid, b.candid, b.mjd, b.fid, b.missing)
        assert repr(dict(a.record)) == repr(dict(b.record))
        assert same_pixels(a.stamps, b.stamps)


def files_of(folder):
    """{relative name: bytes} of all files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
