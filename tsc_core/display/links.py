"""Where else an object can be looked at: other brokers, catalogues and pictures of the sky."""

from __future__ import annotations

import math
from urllib.parse import quote, urlencode

from tsc_core.alerts import AlertSequence
from tsc_core.survey import check_oid, is_made


def position(sequence: AlertSequence) -> tuple[float, float] | None:
    """Mean right ascension and declination of the detections, degrees ICRS; None where no detection has one."""
    known = [(a.value("ra"), a.value("dec")) for a in sequence.alerts if math.isfinite(a.value("ra") + a.value("dec"))]
    if not known:
        return None
    first = known[0][0]
    ra = first + sum((ra - first + 180.0) % 360.0 - 180.0 for ra, _ in known) / len(known)  # across 0 h too
    return ra % 360.0, sum(dec for _, dec in known) / len(known)


def facts(sequence: AlertSequence) -> str:
    """Position and infrared colour in words, "" where nothing is known."""
    place, words = position(sequence), []
    if place:
        words.append(f"RA {place[0]:.5f}°, Dec {place[1]:+.5f}°")
    if sequence.allwise:
        words.append(f"AllWISE W1−W2 {sequence.allwise.colours[0]:.2f}")
    elif sequence.allwise_asked:
        words.append("no AllWISE match")
    return " · ".join(words)


def broker_links(sequence: AlertSequence) -> dict[str, str]:
    """Name of a site to the address of this object there; empty for a simulated object, which is nowhere in the sky."""
    oid = check_oid(sequence.oid)
    if is_made(oid):
        return {}
    links = {
        "ALeRCE": f"https://alerce.online/object/{quote(oid)}",
        "Fink": f"https://ztf.fink-portal.org/{quote(oid)}",
        "Lasair": f"https://lasair-ztf.lsst.ac.uk/objects/{quote(oid)}/",
    }
    where = position(sequence)
    return links | sky_links(*where) if where else links


def sky_links(ra: float, dec: float) -> dict[str, str]:
    """Catalogues and pictures at a position (degrees ICRS)."""
    place = f"{ra:.6f} {dec:+.6f}"
    simbad = urlencode({"Coord": place, "Radius": 5, "Radius.unit": "arcsec"})
    ned = urlencode({"search_type": "Near Position Search", "RA": f"{ra:.6f}d", "Dec": f"{dec:+.6f}d", "SR": 0.1})
    tns = urlencode({"ra": f"{ra:.6f}", "decl": f"{dec:.6f}", "radius": 5, "coords_unit": "arcsec"})
    legacy = urlencode({"ra": f"{ra:.6f}", "dec": f"{dec:.6f}", "layer": "ls-dr10", "zoom": 16})
    return {
        "SIMBAD": f"https://simbad.cds.unistra.fr/simbad/sim-coo?{simbad}",
        "NED": f"https://ned.ipac.caltech.edu/conesearch?{ned}",
        "TNS": f"https://www.wis-tns.org/search?{tns}",
        "Legacy Survey": f"https://www.legacysurvey.org/viewer?{legacy}",
    }


def aladin_page(ra: float, dec: float) -> str:
    """An HTML page with Aladin Lite at a position; needs the internet, and says so where it has none."""
    target = f"{ra:.6f} {dec:+.6f}"
    absent = "The sky panel needs the internet: aladin.cds.unistra.fr did not answer."
    return f"""<!doctype html><meta charset="utf-8"><style>body{{margin:0;font:14px sans-serif;color:#808080}}</style>
<div id="sky" style="width:100%;height:400px"></div>
<script src="https://aladin.cds.unistra.fr/AladinLite/api/v3/latest/aladin.js" charset="utf-8"
 onerror="document.getElementById('sky').textContent='{absent}'"></script>
<script>if (window.A) A.init.then(() => A.aladin('#sky', {{survey: 'P/PanSTARRS/DR1/color-z-zg-g', fov: 0.03,
 target: '{target}', cooFrame: 'ICRSd', showReticle: true}}));</script>"""
