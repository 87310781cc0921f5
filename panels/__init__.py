"""Parts of the explorer, drawn with Streamlit: `pages/explorer.py` puts them together."""
