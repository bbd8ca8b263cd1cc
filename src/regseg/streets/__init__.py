"""Synthetic street scenes in the 19 Cityscapes classes: the built-in dataset `data=streets`.

scene.py paints a scene on a canvas (canvas.py) from a layout (layout.py) and the objects on the street (cast.py).
writing.py writes a dataset of scenes in the folder layout of Cityscapes.
"""

from regseg.streets.scene import draw_scene
from regseg.streets.writing import write_streets

__all__ = ["draw_scene", "write_streets"]
