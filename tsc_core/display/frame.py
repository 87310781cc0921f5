"""Where Streamlit would do less than a page needs: pages opened by their own address, choices on closed tabs."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from types import ModuleType


def framed(streamlit: ModuleType, page: str) -> None:
    """Have `app.py` run around the page from now on; does nothing where it already does.

    Streamlit takes a folder `pages` for its old kind of app until `st.navigation` was called once. Calling it here
    and running again puts the page in its frame, at the same address.

    Parameters
    ----------
    streamlit : module
        Handed over, since nothing in `tsc_core` imports it.
    page : str
        The page's ``__file__``.
    """
    if "framed" not in streamlit.session_state:
        streamlit.session_state.framed = True
        start = streamlit.Page(lambda: None, url_path="start", default=True)
        streamlit.navigation([start, streamlit.Page(page)], position="hidden")
        streamlit.rerun()


def keep(state: MutableMapping, keys: Iterable[str]) -> None:
    """Keep what was chosen on tabs that are closed now: Streamlit drops the values of widgets that are not drawn."""
    for key in keys:
        if key in state:
            state[key] = state[key]
