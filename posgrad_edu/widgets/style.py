"""The widgets' style sheet: as wide as the page, in the page's own colours, and in letters for a projector.

It lies in a widget of its own inside each panel, which also keeps single keys from JupyterLab: without that, "b" on a
button just clicked inserts a cell, and "x" cuts one. JupyterLab leaves alone what has the attribute
``data-lm-suppress-shortcuts``. Only the page can set it, so the style sheet sees to it: whatever inside the panel has
the focus gets it. While Control, Command or Shift is held it goes, so that saving works from a control, too.
"""

from __future__ import annotations

import ipywidgets as widgets

from posgrad_edu import viz

PANEL, ROOM = "posgrad-edu", "posgrad-edu-room"  # classes: a panel, and one in large letters
PENDING = "posgrad-edu-pending"  # of a picture that another will follow: pale, if that takes a while
OLD = "posgrad-edu-old"  # of a picture that answers something else than what the controls say

KEYS = """
const alone = event => !(event.ctrlKey || event.metaKey || event.shiftKey);
const keep = event => event.target.toggleAttribute('data-lm-suppress-shortcuts', alone(event));
['keydown', 'keyup', 'focusin'].forEach(kind => this.closest('.posgrad-edu').addEventListener(kind, keep));
"""

# A list's arrow in white, which ipywidgets only have in black.
ARROW = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E"
    "%3Cpath d='M5 7l4 4 4-4' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)

# --share is a picture's width in heights, 1 for a map. Pictures fill the width that is there, but not more than --most
# of the window's height, so that a map and its controls are seen together.
SHEET = """
.posgrad-edu {
  --most: 58vh; container-type: inline-size; width: 100%; font-size: var(--jp-widgets-font-size);
  --jp-widgets-inline-label-width: 8em;
}
.posgrad-edu-room {
  --most: 74vh; --jp-widgets-font-size: clamp(16px, 1.2vw, 32px); --jp-widgets-inline-height: 1.9em;
  --jp-widgets-slider-handle-size: 1.1em;
}
.posgrad-edu .widget-html-content { line-height: 1.4; color: var(--jp-content-font-color1); }
.posgrad-edu .widget-html-content a { color: var(--jp-content-link-color); text-decoration: underline; }

.posgrad-edu-controls { display: flex; flex-wrap: wrap; }
.posgrad-edu-controls > * { flex: 1 1 20em; width: auto; min-width: 0; }
.posgrad-edu-controls > .widget-hslider { flex-basis: 32em; }
.posgrad-edu-controls > .widget-text { flex-basis: 26em; }
.posgrad-edu .widget-hslider { flex-wrap: wrap; height: auto; min-height: var(--jp-widgets-inline-height); }
.posgrad-edu .slider-container { flex-basis: 6em; }
.posgrad-edu .widget-toggle-buttons { flex: 1 1 auto; display: flex; width: auto; }
.posgrad-edu .widget-toggle-buttons > .widget-label {
  flex: none; width: var(--jp-widgets-inline-label-width); margin-right: 8px; text-align: right;
}
.posgrad-edu .widget-toggle-buttons > div { display: flex; flex-wrap: wrap; gap: 2px; }
.posgrad-edu .jupyter-button {
  width: auto; min-width: 6em; height: auto; min-height: var(--jp-widgets-inline-height); padding: 3px 10px; margin: 0;
  line-height: 1.3; white-space: normal; font-size: inherit;
}
.posgrad-edu select, .posgrad-edu input { font-size: inherit; }
.posgrad-edu .jupyter-widget-readout { max-width: 20em; text-align: left; }
[data-jp-theme-light="false"] .posgrad-edu { --jp-widgets-dropdown-arrow: url("ARROW"); }

.posgrad-edu-pending { opacity: 0.3; transition: opacity 0.1s 0.2s; }
.posgrad-edu-old { opacity: 0.3; }
.posgrad-edu-words { font-size: 110%; margin: 6px 0; }
.posgrad-edu-error { border-left: 4px solid var(--jp-error-color1, #c00); padding-left: 8px; }

.posgrad-edu figure { margin: 0; min-width: 0; }
.posgrad-edu figcaption { overflow-wrap: anywhere; }
.posgrad-edu-frame { line-height: 0; border: 1px solid var(--jp-border-color1, #bbb); background: white; }
.posgrad-edu-frame img { width: 100%; }
.posgrad-edu-pictures { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 10px; }
.posgrad-edu-pictures > figure {
  flex: var(--share) 1 calc(24em * var(--share) - 14em); max-width: min(100%, var(--share) * var(--most));
}
.posgrad-edu-pair {
  display: grid; grid-template-columns: 1fr 1fr 6em; gap: 0 10px;
  flex: 2 1 calc(26em + 20px); max-width: calc(2 * var(--most) + 6em + 20px);
}
.posgrad-edu-room .posgrad-edu-pictures > figure:first-child { flex: 0 1 12em; }
.posgrad-edu-pair > figure { display: contents; }
.posgrad-edu-pair .posgrad-edu-frame, .posgrad-edu-bar { grid-row: 1; }
.posgrad-edu-pair figcaption { grid-row: 2; }
.posgrad-edu-bar { display: flex; gap: 5px; line-height: 1.2; }
.posgrad-edu-bar i { width: 12px; background: linear-gradient(to bottom, RED, white, BLUE); }
.posgrad-edu-bar div { display: flex; flex: 1; flex-direction: column; justify-content: space-between; }
@container (max-width: 34em) {
  .posgrad-edu > .widget-toggle-buttons { flex-direction: column; }
  .posgrad-edu > .widget-toggle-buttons > .widget-label { text-align: left; }
  .posgrad-edu-pictures > figure:not(:only-child) { max-width: min(100%, (2 * var(--share) - 1) * 48%); }
  .posgrad-edu-pair { grid-template-columns: 1fr 1fr; flex-basis: 100%; gap: 4px 6px; }
  .posgrad-edu-bar { grid-row: 3; grid-column: 1 / 3; flex-direction: column; }
  .posgrad-edu-bar i { width: auto; height: 10px; background: linear-gradient(to left, RED, white, BLUE); }
  .posgrad-edu-bar div { flex-direction: row-reverse; text-align: center; }
}
"""


def style_sheet() -> widgets.HTML:
    """Return the style sheet as a widget that isn't seen; it belongs among the children of a box of class ``PANEL``."""
    sheet = SHEET.replace("RED", viz.hex_code(viz.RED)).replace("BLUE", viz.hex_code(viz.BLUE))
    return widgets.HTML(f'<style onload="{KEYS}">{sheet.replace("ARROW", ARROW)}</style>', layout={"display": "none"})
