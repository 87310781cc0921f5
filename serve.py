"""The app with its libraries loaded before the first visitor comes: `streamlit run serve.py`, which `make app` does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from tsc_core.display.assets import Assets
from tsc_core.display.ready import make_ready

EARLY = ("Button", "ButtonGroup", "Checkbox", "ImageList", "Metric", "NumberInput", "Selectbox", "TextInput")
BROWSER_FILES = Path(st.__file__).parent / "static" / "static"


@asynccontextmanager
async def ready(app: st.App) -> AsyncIterator[None]:
    """Take visitors once all is loaded: who comes first waits no longer than who comes next."""
    make_ready(("panels.answer", "panels.object"))
    yield


assets = Middleware(Assets, folder=BROWSER_FILES, prefix="/static/", early=EARLY)
app = st.App("app.py", lifespan=ready, middleware=[assets])
