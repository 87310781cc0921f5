"""Training runs."""

import streamlit as st

st.title("Training runs", anchor=False)
