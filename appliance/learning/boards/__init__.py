"""Drawn circuit boards: binarised layouts that no camera saw, and defects drawn onto drawn or real ones.

A handful of real boards teaches a detector that handful. What it must know is that a stroke across a trace is an open
whatever the board looks like; so boards of every style are drawn, and their truth follows from connectivity.
"""

from appliance.learning.boards.board import draw_board
from appliance.learning.boards.defects import DrawnDefect, draw_defect

__all__ = ["DrawnDefect", "draw_board", "draw_defect"]
