"""Alerts, sequences and bundles for tests, small and seeded."""

from functools import lru_cache

import numpy as np
import torch

from tests.packet_maker import candid_of, make_object
from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Stamps
from tsc_core.bundle import ENCODER, Bundle, save_bundle
from tsc_core.config import EncoderConfig, ModelConfig, PreprocessConfig, RecurrentConfig, RunConfig
from tsc_core.models import build_model
from tsc_core.models.colours import ColourEvidence
from tsc_core.preprocessing import Preprocessor, select_alerts
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import CLASSES, TEMPORAL_CLASSES

ENCODER_SIZE = EncoderConfig(rotations=2, width=4, codes=8)
CROP = 15


def stamps(seed=0, shape=(63, 63), fill=None) -> Stamps:
    """Three cutouts of noise, or of one value."""
    rng = np.random.default_rng(seed)
    pixels = [rng.random(shape, np.float32) if fill is None else np.full(shape, fill, np.float32) for _ in CHANNELS]
    return Stamps(*pixels)


def alert(mjd, fid=1, candid=None, with_stamps=True, oid="SIM1test", shape=(63, 63), fill=None, **record) -> Alert:
    """A detection; `record` holds what of the candidate record matters."""
    candid = str(candid or candid_of(mjd))
    cutouts = stamps(int(candid) % 2**32, shape, fill) if with_stamps else None
    return Alert(oid, candid, float(mjd), fid, record, cutouts, None if with_stamps else "history")


def sequence(*alerts, oid="SIM1test", **fields) -> AlertSequence:
    return AlertSequence(oid, "made", tuple(alerts), **fields)


def fetched(oid="SIM1test", mjds=(58300.2, 58303.3, 58306.2, 58309.4, 58312.3), **options) -> AlertSequence:
    """An object with one packet per time, by way of its Avro files."""
    packets = make_object(oid, mjds, **options)
    return PacketSource.from_uploads((f"{candid}.avro", data) for candid, data in packets.items()).fetch(oid)


@lru_cache
def preprocessor(channels=("science", "template"), **fields) -> Preprocessor:
    """Fitted on four made objects that differ."""
    config = PreprocessConfig(channels, crop=CROP, **fields)
    made = [fetched(f"SIM{i}fit", ra=30.0 + 20 * i, fwhm=2.0 + i, distpsnr1=-999.0 if i == 1 else i) for i in range(4)]
    return Preprocessor.fit(config, [(select_alerts(found).used, None) for found in made])


def bundle(kind="temporal", n=2, seed=0, members=1, classes=None, channels=None, encoder_of=None, **fields) -> Bundle:
    """A bundle of random weights; its members, and `encoder_of`, share one encoder. With `colours` they stand apart."""
    five = kind in ("stamp", "unified")
    classes = classes or (CLASSES if five else TEMPORAL_CLASSES)
    found = preprocessor(channels or (CHANNELS if kind == "stamp" else CHANNELS[:2]))
    layers = {"encoder": ENCODER_SIZE, "recurrent": RecurrentConfig(units=8), "hidden": 8}
    model = ModelConfig(kind, n, classes, colours_apart="colours" in fields, **layers)
    name = "stamp" if kind == "stamp" else f"{kind}_{n}"
    config = RunConfig(name, model, found.config)
    torch.manual_seed(seed)
    networks = [build_model(model, found.config).eval().requires_grad_(False) for _ in range(members)]
    source = encoder_of.model if encoder_of else networks[0]
    shared = {name: value for name, value in source.state_dict().items() if name.startswith(ENCODER)}
    for network in networks:
        network.load_state_dict(shared, strict=False)
    return Bundle(name, config, found, tuple(networks), **fields)


def colours(each=30) -> ColourEvidence:
    """AGN redder than SN, and these than VS, in W1-W2 alone."""
    owner = torch.arange(3, dtype=torch.uint8).repeat_interleave(each)
    points = torch.zeros(len(owner), 3)
    points[:, 0] = 1.5 - 1.5 * owner + torch.linspace(-0.2, 0.21, each).repeat(3)
    return ColourEvidence(points, owner)


def save_shipped(folder):
    """A set as it ships: a stamp classifier, and temporal ones for 2 to 5 that share an encoder."""
    save_bundle(bundle("stamp", 1, card={"summary": "random weights"}), folder / "stamp")
    second = bundle("temporal", 2, seed=2)
    save_bundle(second, folder / "temporal_2")
    for n in (3, 4, 5):
        save_bundle(bundle("temporal", n, seed=n, encoder_of=second), folder / f"temporal_{n}")
    return folder
