"""Addresses: a link to what the explorer shows, and what Back leads to."""

import streamlit as st

from tsc_core.preprocessing.quality import WINDOWS

USUAL = {"source": "demo", "window": WINDOWS[0]}


def explorer_query(source: str, oid: str, window: str = WINDOWS[0], n: str = "") -> dict[str, str]:
    """The part of an address after the question mark.

    What the explorer shows anyway is left out: it would take that out of the address itself, and Back would stop there.
    """
    asked = {"source": source, "oid": oid, "window": window, "n": n}
    return {name: value for name, value in asked.items() if value and value != USUAL.get(name)}


def named(key: str) -> bool:
    """Whether the address says this of the object shown: then it stays there, also where it would be so anyway."""
    return bool(st.session_state.get("linked")) and key in st.query_params


def as_left(*keys: str) -> None:
    """Have a page that Back leads to as it was left, where the address names none of its boxes.

    Streamlit takes the boxes out of the address before it opens another page, and Back sets them to their defaults.
    A run that does not come from Back finds their values as they were, and puts them into the address again.
    """
    if st.session_state.get("arrived") and not any(key in st.query_params for key in keys):
        st.rerun()
