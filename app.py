"""The app's router: `streamlit run app.py`."""

import streamlit as st

from tsc_core.display.desk import desk
from tsc_core.display.stamps import icon

st.set_page_config(page_title="Temporal Stamp Classifier", page_icon=icon(), layout="wide")
state = st.session_state
state.framed = True
page = st.navigation(
    [
        st.Page("pages/explorer.py", title="Explorer", icon=":material/flare:", default=True),
        st.Page("pages/batch.py", title="Lists", icon=":material/checklist:"),
        st.Page("pages/runs.py", title="Training runs", icon=":material/show_chart:"),
        st.Page("pages/confusion.py", title="Confusion matrices", icon=":material/grid_on:"),
        st.Page("pages/models.py", title="Models", icon=":material/deployed_code:"),
        st.Page("pages/about.py", title="About", icon=":material/info:"),
    ],
    position="top",
)
state.arrived = state.get("page", page.title) != page.title  # from another page
state.page = page.title
page.run()
desk().warm()  # loads the models once the first page is drawn, so that the next ones need not wait
