"""The app with its libraries loaded before the first visitor comes: `streamlit run serve.py`, which `make app` does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st

from tsc_core.display.ready import make_ready


@asynccontextmanager
async def ready(app: st.App) -> AsyncIterator[None]:
    """Begin to load in the background as the server starts."""
    make_ready()
    yield


app = st.App("app.py", lifespan=ready)
