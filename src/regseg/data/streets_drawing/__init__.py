"""Procedurally drawn street scenes in the 19 Cityscapes classes, and writing them in the Cityscapes folder layout."""

from regseg.data.streets_drawing.scene import draw_scene

__all__ = ["draw_scene"]
