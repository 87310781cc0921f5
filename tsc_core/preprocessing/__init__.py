"""From a sequence of alerts to the arrays a model takes: which alerts count, and how they are scaled."""

from tsc_core.preprocessing.collate import collate
from tsc_core.preprocessing.quality import Selection, select_alerts, window_of
from tsc_core.preprocessing.transform import Preprocessor

__all__ = ["Preprocessor", "Selection", "collate", "select_alerts", "window_of"]
