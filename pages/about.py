"""About: what the numbers mean, where the data come from, what to cite."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np
import pandas as pd
import streamlit as st

import tsc_core
from tsc_core.display.frame import framed
from tsc_core.evaluation.palette import CLASS_STYLES

PACKAGES = ("torch", "numpy", "astropy", "alerce", "fastavro", "streamlit", "plotly")
SWATCH = 40  # pixels
MARKERS = {"circle": "●", "star": "★", "square": "■", "diamond": "◆", "x": "✖"}
NUMBERS = """
**Probabilities.** After each detection a model gives one probability per class; they sum to 1. After one detection
there are five classes (AGN, SN, VS, asteroid, bogus), from two on three (AGN, SN, VS). They are calibrated on
validation objects; how well is on the page of confusion matrices. They say nothing of classes that the models do not
know: a tidal disruption or a nova must be given to one of these.

**Used and not used.** As in the paper, a detection is used if its stamps are 63×63 pixels and it comes at least six
hours after the one used before. Of those the first five count (window *first*). The window *last* takes the five most
recent epochs; earlier detections known only from a packet's history have no stamps, and are used without.

**Members.** A bundle averages a few models. Bars and spans reach from the lowest to the highest of them: how far
training alone moves the answer. They are not a confidence interval.

**Not ruled out.** The conformal set holds the true class for 90 % of each class's real objects. More than one class in
it, none, or an object unlike the training data: the models abstain.

**Natural rates.** The models are trained with equal classes; supernovae are 1.7 % of the
AGN, SN and VS that the paper counts, which are these rates. The explorer
gives each probability at both. Precision on a test set with equal classes is not the precision that a night of alerts
gives; the page of confusion matrices shows the latter.

**Why.** Parts of the stamps are hidden in turn, metadata set to their mean in turn: what changes the answer mattered.
Fields that say the same hide one another.

**Bogus twice.** An object called bogus on its first and on its second alert is discarded as bogus.
"""
SOURCES = """
- **Alerts**: the public alert stream of the Zwicky Transient Facility (Bellm et al. 2019; Masci et al. 2019).
- **Live objects**: ALeRCE (Förster et al. 2021), through its own client; their classifiers are shown under their names.
- **Infrared colours**: AllWISE (Cutri et al. 2014), cross-matched within 2 arcsec by CDS XMatch.
- **Demo objects** (DEMO01 ...): simulated, in the format of real packets. They are not on the sky.
"""
CITATIONS = """
- Neira O., Estévez P., Förster F., *Temporal Stamp Classifier: Classifying Short Sequences of Astronomical Alerts*,
  [arXiv:2405.15073](https://arxiv.org/abs/2405.15073) (2024). The method.
- Carrasco-Davis R. et al., *Alert Classification for the ALeRCE Broker System: The Real-time Stamp Classifier*,
  [AJ 162, 231](https://arxiv.org/abs/2008.03309) (2021). The classifier of single alerts that it builds on.

This is an independent implementation; the published weights and training set are not public.
"""
OWN = """tsc classify ZTF18abcdefg --source alerce          # live
tsc classify ZTF18abcdefg --source night.tar.gz    # your packets: an Avro file, a folder, a tar or tar.gz
tsc evaluate --source night.tar.gz --labels labels.csv --out report.json"""


def installed(package: str) -> str:
    """Version of a package, in words where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def swatch(colour: str) -> np.ndarray:
    """A square of a hex colour, (H, W, 3) uint8."""
    return np.full((SWATCH, SWATCH, 3), [int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)


framed(st, __file__)
st.title("About", anchor=False)
st.markdown(
    "Classes of ZTF objects from the stamps and metadata of their first alerts, with every detection's stamps "
    "and every step's probabilities in view."
)
numbers, data, own, versions = st.tabs(["What the numbers mean", "Data and citations", "Your own packets", "Versions"])
with numbers:
    st.markdown(NUMBERS)
    st.markdown("**Colours** are the same on every page, each with a marker of its own in charts.")
    with st.container(horizontal=True):
        for name, style in CLASS_STYLES.items():
            with st.container(width="content", gap="xxsmall", horizontal_alignment="center"):
                st.image(swatch(style.colour), width=SWATCH, alt=f"the colour of {name}")
                st.caption(f"{MARKERS[style.marker]} {name}")
with data:
    st.markdown(SOURCES)
    st.markdown(CITATIONS)
with own:
    st.markdown(
        "In the explorer choose *upload*, or type a path as the source. From a shell the same objects are classified by"
    )
    st.code(OWN, language="bash")
    st.markdown(
        "Without internet, `tsc serve-archive night.tar.gz` stands in for ALeRCE. Keys in the explorer: ← → step "
        "through detections, P and N through objects."
    )
with versions:
    rows = [("Temporal Stamp Classifier", tsc_core.__version__), *((name, installed(name)) for name in PACKAGES)]
    st.dataframe(pd.DataFrame(rows, columns=["package", "version"]), hide_index=True, width="content")
