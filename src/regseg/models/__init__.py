"""The networks, in pure PyTorch: from images to logits. This package does not depend on data or training."""

from regseg.models.complexity import count_parameters, field_of_view, gflops
from regseg.models.description import title_of
from regseg.models.factory import build_model, create_model, list_backbones, list_decoders, list_models, load_model
from regseg.models.regseg import RegSeg
from regseg.models.weights import LoadReport, load_weights, save_weights
from regseg.system.weights_files import list_weights

__all__ = [
    "LoadReport",
    "RegSeg",
    "build_model",
    "count_parameters",
    "create_model",
    "field_of_view",
    "gflops",
    "list_backbones",
    "list_decoders",
    "list_models",
    "list_weights",
    "load_model",
    "load_weights",
    "save_weights",
    "title_of",
]
