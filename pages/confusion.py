"""Confusion matrices."""

import streamlit as st

st.title("Confusion matrices", anchor=False)
