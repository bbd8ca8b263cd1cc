"""Procedurally drawn street scenes in the 19 Cityscapes classes: the embedded dataset `data=streets`.

scene.py paints one, from a plan (layout.py) and what stands on the street (cast.py) onto a canvas.py; writing.py writes
many in the folder layout of Cityscapes.
"""

from regseg.streets.scene import draw_scene
from regseg.streets.writing import holds_streets, write_streets

__all__ = ["draw_scene", "holds_streets", "write_streets"]
