"""Lists."""

import streamlit as st

st.title("Lists", anchor=False)
