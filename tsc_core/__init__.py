"""The Temporal Stamp Classifier: classes of ZTF objects from their first alerts (arXiv:2405.15073)."""

__version__ = "0.1.0"
