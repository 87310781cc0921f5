"""Models: the bundles that ship, their cards, their limits, their speed here."""

import re

import pandas as pd
import streamlit as st

from tsc_core.display.desk import desk
from tsc_core.display.frame import framed
from tsc_core.display.speed import measure
from tsc_core.display.text import plain_markdown
from tsc_core.evaluation.cards import Card, read_cards


def row_of(card: Card) -> dict[str, object]:
    """One line of the table of bundles."""
    if card.problem:
        return {"bundle": card.name, "state": card.problem}
    config = card.config
    return {
        "bundle": card.name,
        "state": "ready",
        "detections": card.n,
        "kind": config.get("model.kind"),
        "classes": config.get("model.classes"),
        "stamps": config.get("preprocess.channels") if config.get("model.images") else "none",
        "crop (pixels)": config.get("preprocess.crop"),
        "members": card.members,
        "MB": round(card.size / 1e6, 1),
    }


framed(st, __file__)
st.title("Models", anchor=False)
cards = read_cards()
if not cards:
    st.info("No bundle ships with this copy: `make checkpoints` trains them.", icon=":material/deployed_code:")
    st.stop()
st.caption("A bundle is a folder in `checkpoints` that predicts alone: configuration, scaling, weights, calibration.")
st.dataframe(pd.DataFrame([row_of(card) for card in cards]), hide_index=True)

name = st.segmented_control("Card of", [card.name for card in cards], default=cards[0].name, required=True)
card = next(card for card in cards if card.name == name)
with st.container(border=True, horizontal=True, wrap=False):  # its tables slide by themselves on a narrow screen
    if card.problem:
        st.error(plain_markdown(card.problem))
    elif card.text:
        st.markdown(re.sub(r"^#", "###", card.text, flags=re.MULTILINE))  # below the page's own headings
    else:
        st.info("This bundle has no card yet: it was not evaluated.")
with st.expander("Configuration"):
    values = [(key, str(value)) for key, value in card.config.items()]
    st.dataframe(pd.DataFrame(values, columns=["key", "value"]), hide_index=True)

st.subheader("Speed on this machine", anchor=False)
if st.button("Measure", icon=":material/speed:"):
    try:
        with st.spinner("Classifying demo objects …"):
            st.session_state.speed = measure(desk())
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        st.error(f"The models cannot be used: {plain_markdown(error)}")
if "speed" in st.session_state:
    st.dataframe(pd.DataFrame(st.session_state.speed), hide_index=True, width="content")
    st.caption("All steps of one object, stamps in memory. `tsc bench` says more, beside the machine's own limits.")
