"""RegSeg: real-time semantic segmentation with dilated convolutions ("Rethink Dilated Convolution", Gao).

    predictor = regseg.Predictor("camvid_360")
    labels = predictor(image)  # (H, W, 3) uint8 RGB -> (H, W) uint8

    model = regseg.create_model("regseg", weights="camvid_360")  # in training mode, like any new PyTorch module
    logits = model.eval()(regseg.normalize(images))  # (B, H, W, 3) uint8 RGB -> (B, 11, H, W)

Names are imported when first used (PEP 562), so that `import regseg` does not wait for PyTorch.
"""

from regseg.system.signals import exit_on_signals, is_command

if is_command():  # first, because `typing` takes milliseconds to import and a command's libraries take a second
    exit_on_signals()

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regseg.data.augment.transforms import MEAN, STD, normalize
    from regseg.inference.predictor import Predictor
    from regseg.models import (
        create_model,
        field_of_view,
        list_backbones,
        list_decoders,
        list_models,
        list_weights,
        load_model,
        load_weights,
        save_weights,
    )

__version__ = "0.1.0"

__all__ = [
    "MEAN",
    "STD",
    "Predictor",
    "__version__",
    "create_model",
    "field_of_view",
    "list_backbones",
    "list_decoders",
    "list_models",
    "list_weights",
    "load_model",
    "load_weights",
    "normalize",
    "save_weights",
]

_HOMES = {
    "MEAN": "regseg.data.augment.transforms",
    "STD": "regseg.data.augment.transforms",
    "normalize": "regseg.data.augment.transforms",
    "Predictor": "regseg.inference.predictor",
    "create_model": "regseg.models",
    "field_of_view": "regseg.models",
    "list_backbones": "regseg.models",
    "list_decoders": "regseg.models",
    "list_models": "regseg.models",
    "list_weights": "regseg.system.weights_files",
    "load_model": "regseg.models",
    "load_weights": "regseg.models",
    "save_weights": "regseg.models",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'regseg' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value  # later accesses bypass this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
