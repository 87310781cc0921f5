"""A page opened by its own address before `app.py` ran once in a server: Streamlit would show it without the app."""

from __future__ import annotations

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
