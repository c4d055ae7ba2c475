"""Plots as SVG for embedding in a page: drawn by matplotlib, with colours and fonts from the page's style."""

from interank.plots.curves import read_log, training_curves
from interank.plots.drawing import begin_import, ink, new_axes, rendered, series_colour
from interank.plots.plot import Plot, comma_separated

__all__ = [
    "Plot",
    "begin_import",
    "comma_separated",
    "ink",
    "new_axes",
    "read_log",
    "rendered",
    "series_colour",
    "training_curves",
]
