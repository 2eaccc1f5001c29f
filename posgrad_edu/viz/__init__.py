"""Colours, pictures, figures and words for signed maps: red speaks for the class, blue against it.

Maps are (H, W) arrays or tensors. matplotlib itself is only imported when a figure or a colour map is asked for.
"""

from posgrad_edu.viz.colours import BLUE, CHART_STYLES, RED, colour_map, hex_code, pair_limit, symmetric_limit
from posgrad_edu.viz.grid import draw_picture, show_grid
from posgrad_edu.viz.output import figure_class, to_html_img, to_png
from posgrad_edu.viz.pictures import faded, heatmap, overlay, rank_picture
from posgrad_edu.viz.schematic import Schematic
from posgrad_edu.viz.words import (
    alt_text,
    describe_map,
    map_title,
    map_titles,
    percent,
    signed_number,
    true_minus,
    two_digits,
)

__all__ = [
    "BLUE",
    "CHART_STYLES",
    "RED",
    "Schematic",
    "alt_text",
    "colour_map",
    "describe_map",
    "draw_picture",
    "faded",
    "figure_class",
    "heatmap",
    "hex_code",
    "map_title",
    "map_titles",
    "overlay",
    "pair_limit",
    "percent",
    "rank_picture",
    "show_grid",
    "signed_number",
    "symmetric_limit",
    "to_html_img",
    "to_png",
    "true_minus",
    "two_digits",
]
