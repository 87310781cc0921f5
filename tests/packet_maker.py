"""Small made ZTF packets in the real schema (4.01), for tests: deterministic, offline, no survey data."""

import gzip
import io
import tarfile
import zlib

import fastavro
import numpy as np
from astropy.io import fits

JD_TO_MJD = 2400000.5
FIRST_NIGHT_MJD = 57754.0

_OWN = """diffmaglim:float? pdiffimfilename:string? programpi:string? programid:int candid:long isdiffpos:string
tblid:long?
nid:int? rcid:int? field:int? xpos:float? ypos:float? ra:double dec:double magpsf:float sigmapsf:float chipsf:float?
magap:float? sigmagap:float? distnr:float? magnr:float? sigmagnr:float? chinr:float? sharpnr:float? sky:float?
magdiff:float? fwhm:float? classtar:float? mindtoedge:float? magfromlim:float? seeratio:float? aimage:float?
bimage:float? aimagerat:float? bimagerat:float? elong:float? nneg:int? nbad:int? rb:float? ssdistnr:float?
ssmagnr:float? ssnamenr:string? sumrat:float? magapbig:float? sigmagapbig:float? ranr:double decnr:double"""
_CALIBRATION = "magzpsci:float? magzpsciunc:float? magzpscirms:float? clrcoeff:float? clrcounc:float? rbversion:string"
_CANDIDATE = f"""jd:double fid:int pid:long {_OWN} sgmag1:float? srmag1:float? simag1:float? szmag1:float?
sgscore1:float? distpsnr1:float? ndethist:int ncovhist:int jdstarthist:double? jdendhist:double? scorr:double?
tooflag:int? objectidps1:long? objectidps2:long? sgmag2:float? srmag2:float? simag2:float? szmag2:float?
sgscore2:float? distpsnr2:float? objectidps3:long? sgmag3:float? srmag3:float? simag3:float? szmag3:float?
sgscore3:float? distpsnr3:float? nmtchps:int rfid:long jdstartref:double jdendref:double nframesref:int dsnrms:float?
ssnrms:float? dsdiff:float? nmatches:int zpclrcov:float? zpmed:float? clrmed:float? clrrms:float? neargaia:float?
neargaiabright:float? maggaia:float? maggaiabright:float? exptime:float? drb:float? drbversion:string {_CALIBRATION}"""
_OPTIONAL_IN_HISTORY = {"candid", "isdiffpos", "ra", "dec", "magpsf", "sigmapsf", "ranr", "decnr"}


def _fields(text, optional=()):
    """Avro fields of "name:type" words; a question mark (or a name in `optional`) makes the field nullable."""
    fields = []
    for word in text.split():
        name, kind = word.split(":")
        if kind.endswith("?") or name in optional:
            fields.append({"name": name, "type": ["null", kind.rstrip("?")], "default": None})
        else:
            fields.append({"name": name, "type": kind})
    return fields


def _record(name, fields):
    return {"type": "record", "name": f"ztf.alert{name}", "fields": fields}


_PRV = _fields(f"jd:double fid:int pid:long {_OWN} scorr:double? {_CALIBRATION}", _OPTIONAL_IN_HISTORY)
_CUTOUT = _record(".cutout", _fields("fileName:string stampData:bytes"))
SCHEMA = _record(
    "",
    [
        *_fields("schemavsn:string publisher:string objectId:string candid:long"),
        {"name": "candidate", "type": _record(".candidate", _fields(_CANDIDATE))},
        {
            "name": "prv_candidates",
            "type": ["null", {"type": "array", "items": _record(".prv_candidate", _PRV)}],
            "default": None,
        },
        {"name": "cutoutScience", "type": ["null", _CUTOUT], "default": None},
        {"name": "cutoutTemplate", "type": ["null", "ztf.alert.cutout"], "default": None},
        {"name": "cutoutDifference", "type": ["null", "ztf.alert.cutout"], "default": None},
    ],
)
PARSED = fastavro.parse_schema(SCHEMA)
CUTOUTS = {"science": "cutoutScience", "template": "cutoutTemplate", "difference": "cutoutDifference"}


def candid_of(mjd, tail=15010):
    """A ZTF candid whose leading digits state `mjd` to 0.1 s, a Python int beyond 2**53."""
    return round((mjd - FIRST_NIGHT_MJD) * 1e6) * 10**9 + 315000000 + tail


def stamp(seed, shape=(63, 63), flux=500.0, nan=0):
    """Pixels (H, W) float32: noise about 100 counts, a star of `flux` counts; `nan` rows at the bottom, -1 for all."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    star = np.exp(-((y - shape[0] // 2) ** 2 + (x - shape[1] // 2) ** 2) / 4.0)
    pixels = (rng.normal(100.0, 10.0, shape) + flux * star).astype(np.float32)
    pixels[len(pixels) - nan if nan >= 0 else 0 :] = np.nan
    return pixels


def fits_gz(pixels):
    """The gzipped FITS cutout that a packet carries."""
    file = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(file)
    return gzip.compress(file.getvalue(), compresslevel=1, mtime=0)


def make_candidate(mjd, candid=None, fid=1, **fields):
    """A complete candidate record; any field by keyword (a field set to None becomes null)."""
    candid = candid or candid_of(mjd)
    values = {field["name"]: _default(field["type"]) for field in SCHEMA["fields"][4]["type"]["fields"]}
    values |= {"jd": mjd + JD_TO_MJD, "fid": fid, "candid": int(candid), "pid": int(candid) // 10**6, "programid": 1}
    values |= {"isdiffpos": "t", "ra": 150.1, "dec": 2.2, "ranr": 150.1, "decnr": 2.2, "magpsf": 18.5, "sigmapsf": 0.1}
    values |= {"diffmaglim": 20.5, "ndethist": 3, "ncovhist": 300, "fwhm": 2.5, "classtar": 0.9, "chinr": 1.0}
    values |= {"sharpnr": 0.1, "rb": 0.8, "drb": 0.99, "magap": 18.6, "distnr": 0.5, "magnr": 19.0, "exptime": 30.0}
    for rank in "123":
        values |= {f"sgscore{rank}": 0.5, f"distpsnr{rank}": 2.0 * int(rank)}
    unknown = set(fields) - set(values)
    if unknown:
        raise ValueError(f"no field {sorted(unknown)} in a ZTF candidate")
    values |= fields
    return values | {"ranr": fields.get("ranr", values["ra"]), "decnr": fields.get("decnr", values["dec"])}


def _default(kind):
    return None if isinstance(kind, list) else "" if kind == "string" else 0


def prv_detection(mjd, candid=None, fid=1, **fields):
    """An entry of `prv_candidates` for an earlier detection (no stamps, no sgscore, no ndethist)."""
    record = make_candidate(mjd, candid, fid, **fields)
    return {field["name"]: record[field["name"]] for field in _PRV}


def prv_limit(mjd, fid=1, diffmaglim=20.3, pid=1):
    """An entry of `prv_candidates` for a visit without a detection."""
    entry = {field["name"]: _default(field["type"]) for field in _PRV}
    return entry | {"jd": mjd + JD_TO_MJD, "fid": fid, "pid": pid, "programid": 1, "diffmaglim": diffmaglim}


def make_packet(oid, mjd, candid=None, *, fid=1, history=(), cutouts=tuple(CUTOUTS), shape=(63, 63), nan=0, **fields):
    """One alert packet as Avro bytes.

    `history` holds entries of `prv_detection` and `prv_limit`, or is None; `cutouts` names the cutouts present;
    `shape` is that of the stamps (63, 62 for one clipped at an edge), `nan` the rows of NaN (-1: all of them); further
    keywords set fields of the candidate record. The pixels depend on the candid alone.
    """
    candidate = make_candidate(mjd, candid, fid, **fields)
    packet = {"schemavsn": "4.01", "publisher": "made for tests", "objectId": oid, "candid": candidate["candid"]}
    packet |= {"candidate": candidate, "prv_candidates": None if history is None else list(history)}
    for place, (channel, key) in enumerate(CUTOUTS.items()):
        pixels = stamp([candidate["candid"], place], shape, flux=(500.0, 200.0, 300.0)[place], nan=nan)
        data = {"fileName": f"candid{candidate['candid']}_{channel}.fits.gz", "stampData": fits_gz(pixels)}
        packet[key] = data if channel in cutouts else None
    file = io.BytesIO()
    fastavro.writer(file, PARSED, [packet], sync_marker=bytes(16))
    return file.getvalue()


def make_object(oid, mjds=(58300.2, 58303.3, 58306.2, 58309.4, 58312.3), bands=(1, 2), **options):
    """{candid: packet bytes} of one object with one packet per time, each carrying what came before it."""
    packets, history = {}, [prv_limit(mjds[0] - 3.0)]
    for place, mjd in enumerate(mjds):
        fid, candid = bands[place % len(bands)], candid_of(mjd, tail=zlib.crc32(oid.encode()) % 10**6)
        magpsf = 18.0 + 0.1 * place
        packets[str(candid)] = make_packet(
            oid, mjd, candid, fid=fid, history=[entry for entry in history if entry["jd"] > mjd + JD_TO_MJD - 30],
            magpsf=magpsf, **options,
        )  # fmt: skip
        where = {name: options[name] for name in ("ra", "dec") if name in options}
        history.append(prv_detection(mjd, candid, fid, magpsf=magpsf, **where))
    return packets


def write_archive(path, packets):
    """A tar(.gz) of packets, {name without suffix: bytes}, as a night of the public archive."""
    with tarfile.open(path, "w:gz" if str(path).endswith("gz") else "w") as archive:
        for name, data in packets.items():
            member = tarfile.TarInfo(f"{name}.avro")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path
