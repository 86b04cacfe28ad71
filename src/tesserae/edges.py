"""Names of the edges of an image at which shares of kept patches are told, to be measured and to be shown.

Imports nothing: those numbers are made again when a module changes that is imported where they are measured.
"""

EDGES = ("left_right", "top_bottom")  # the outermost columns, and rows
