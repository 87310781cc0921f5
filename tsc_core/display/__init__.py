"""What the app shows, made without Streamlit: stamps as PNG, figures, links, downloads, reports."""
