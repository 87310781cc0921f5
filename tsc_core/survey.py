"""What is particular to a survey: stamp geometry, bands, id forms. Another survey is another `Survey`."""

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Survey:
    """Constants of one alert stream.

    Attributes
    ----------
    name : str
        Name as `alerce` spells it.
    stamp_size : int
        Side of a cutout in pixels.
    pixel_arcsec : float
        Pixel scale in arcsec per pixel.
    bands : dict
        Filter id (``fid``) to band name.
    oid_pattern : re.Pattern
        What an object id of the survey looks like, anchored at both ends.
    """

    name: str
    stamp_size: int
    pixel_arcsec: float
    bands: dict[int, str] = field(hash=False)
    oid_pattern: re.Pattern[str]


JD_TO_MJD = 2400000.5
ZTF = Survey("ztf", 63, 1.01, {1: "g", 2: "r", 3: "i"}, re.compile(r"ZTF\d{2}[a-z]{7}", re.ASCII))
MADE_OID = re.compile(r"(SIM|DEMO)\d[0-9a-z]{1,17}", re.ASCII)  # simulated objects: never a ZTF id

CLASSES = ("AGN", "SN", "VS", "asteroid", "bogus")
TEMPORAL_CLASSES = CLASSES[:3]
NATURAL_COUNTS = {  # objects in Neira et al. 2024 (arXiv:2405.15073), Sec. 2: SN are 1.7 % of AGN, SN and VS
    "AGN": 48_262,
    "SN": 2_524,
    "VS": 101_038,
    "asteroid": 16_332 * 9_899 / 10_763,  # no count of objects: as many for each bogus as among their single alerts
    "bogus": 16_332,
}
MAX_DETECTIONS = 5
MIN_GAP_HOURS = 6.0  # alerts closer than this are one epoch (paper, Sec. 2)


def check_oid(oid: str) -> str:
    """Return `oid` unchanged if it is a ZTF id or the id of a simulated object.

    Raises
    ------
    ValueError
        For anything else. Called before an id reaches a URL, a file name or a page.
    """
    if isinstance(oid, str) and (ZTF.oid_pattern.fullmatch(oid) or MADE_OID.fullmatch(oid)):
        return oid
    raise ValueError(f"{str(oid)[:40]!r} is not an object id: expected e.g. ZTF18abcdefg (or DEMO01 for a demo object)")


def is_made(oid: str) -> bool:
    """Whether `oid` names a simulated object."""
    return MADE_OID.fullmatch(oid) is not None
