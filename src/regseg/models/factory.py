"""`create_model` and `load_model`: build every network of the project by name, or as a checkpoint records it."""

import difflib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from regseg.errors import InputError, check_options, shortened
from regseg.models.backbones import (
    BACKBONES,
    DILATIONS,
    REGSEG_LARGE,
    STEM_CHANNELS,
    DilatedBackbone,
    Dilations,
    RegNetY,
)
from regseg.models.blocks import conv3x3
from regseg.models.complexity import blocks_with_holes
from regseg.models.ddrnet import DDRNet23
from regseg.models.decoders import DECODERS
from regseg.models.description import title_of
from regseg.models.regseg import RegSeg
from regseg.models.weights import Checkpoint, check_fits, classes_of, load_weights, read_checkpoint
from regseg.system.checkpoint_file import OpenedFile

Backbone = str | Dilations | Mapping[str, Any]
Decoder = str | Mapping[str, Any]
_MOST_CLASSES = 2**16  # no dataset has more


def create_model(
    name: str = "regseg",
    *,
    backbone: Backbone | None = None,
    decoder: Decoder | None = None,
    num_classes: int | None = None,
    weights: str | Path | None = None,
) -> nn.Module:
    """Create a model.

        network = regseg.create_model("regseg", weights="camvid_360")

    Args:
        name: "regseg" (Sec. 3), "regseg_large" or "ddrnet23" (Table 10); see `list_models`.
        backbone: replaces the backbone of the model. One of `list_backbones()` (Table 4); or custom dilation rates of
            the blocks at 1/16, such as [[1], [1, 2], [1, 4]]; or a mapping {"name": ..., "dilations": ...}, as in the
            configuration files.
        decoder: replaces the decoder of the model. One of `list_decoders()` (Table 5), or a mapping {"name": ...}.
        num_classes: number of output channels; None for that of the weights, or for 19 without weights.
        weights: one of `list_weights()`, a checkpoint or a run's folder; None for random initial weights. If
            ``num_classes`` differs from theirs, the classifier keeps its random weights.

    Returns:
        The model, in training mode. Its attribute `config` contains plain values with which
        `create_model(**model.config)` builds the same model.

    Raises:
        InputError: a name is unknown, the dilation rates are invalid, the model does not take such a part, or the
            weights are missing, damaged or from a different model.

    Warns:
        UserWarning: a custom dilation rate leaves holes in the field of view (Sec. 3.1).
    """
    checkpoint = None if weights is None else read_checkpoint(weights)
    if num_classes is None:
        num_classes = 19 if checkpoint is None else classes_of(checkpoint)
    model = build_model(name, backbone=backbone, decoder=decoder, num_classes=num_classes)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model


def build_model(
    name: str = "regseg", *, backbone: Backbone | None = None, decoder: Decoder | None = None, num_classes: int = 19
) -> nn.Module:
    """Create a model with random initial weights. It reads no files; see `create_model`."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or not 1 <= num_classes <= _MOST_CLASSES:
        raise InputError(f"num_classes={num_classes!r} is not a number of classes from 1 to {_MOST_CLASSES}.")
    build = MODELS[_known("model", name, MODELS)]
    return build(backbone=backbone, decoder=decoder, num_classes=num_classes)


def load_model(path: str | Path | OpenedFile) -> nn.Module:
    """Create the model that a checkpoint of this project records, and load its weights.

    Args:
        path: a file of `save_weights`, a checkpoint of a training run, a run's folder, or one of `list_weights()`.

    Returns:
        The model, in eval mode.

    Raises:
        InputError: as for `load_weights`, or the file does not record its model, as the author's files do not.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.config is None:
        raise InputError(f"{path} does not record its model; create that model and load the weights into it.")
    model = _described_model(checkpoint)
    if check_fits(model, checkpoint):
        raise InputError(f"{path} is damaged: its number of classes is not the recorded one; choose another file.")
    model.to_empty(device="cpu").load_state_dict(checkpoint.state_dict)
    return model.eval()


def list_models() -> list[str]:
    """Return the names that `create_model(name)` accepts."""
    return list(MODELS)


def list_backbones() -> list[str]:
    """Return the names that `create_model(backbone=name)` accepts, in the order of Table 4."""
    return list(DILATIONS)


def list_decoders() -> list[str]:
    """Return the names that `create_model(decoder=name)` accepts, in the order of Table 5."""
    return list(DECODERS)


def all_networks(num_classes: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield (title, network) for all models, all backbones (Table 4) and all decoders (Table 5)."""
    large = "regseg_large"  # listed as a model; its stem and widths do not fit any other part
    rows: list[dict[str, str]] = [{"name": name} for name in list_models()]
    rows += [{"backbone": backbone, "decoder": "sum_conv3x3"} for backbone in list_backbones() if backbone != large]
    rows += [{"backbone": "dilation_1_12", "decoder": decoder} for decoder in list_decoders() if decoder != large]
    for row in rows:
        network = build_model(**row, num_classes=num_classes)
        yield title_of(network), network


def _regseg(
    name: str,
    default_backbone: str,
    default_decoder: str,
    *,
    backbone: Backbone | None,
    decoder: Decoder | None,
    num_classes: int,
) -> RegSeg:
    backbone_name, dilations = _read_backbone(backbone, default_backbone)
    decoder_name = _named("decoder", _read_part("decoder", decoder, {"name"}), default_decoder, DECODERS)
    stem = conv3x3(3, STEM_CHANNELS, stride=2)
    body = BACKBONES[backbone_name]() if dilations is None else BACKBONES[backbone_name](dilations=dilations)
    model = RegSeg(stem, body, DECODERS[decoder_name](body.out_channels, num_classes))
    if dilations is not None:
        _warn_of_holes(model)
        # Dilation rates do not determine the widths, so the name in the config is that of the model with these widths.
        name = "regseg_large" if isinstance(body, DilatedBackbone) and body.config == REGSEG_LARGE else "regseg"
    model.config = {
        "name": name,
        "backbone": backbone_name if dilations is None else [list(rates) for rates in dilations],
        "decoder": decoder_name,
        "num_classes": num_classes,
    }
    return model


def _ddrnet23(*, backbone: Backbone | None, decoder: Decoder | None, num_classes: int) -> DDRNet23:
    for part, given in (("backbone", backbone), ("decoder", decoder)):
        if given is not None:
            shown = given.get("name", dict(given)) if isinstance(given, Mapping) else given
            raise InputError(
                f"ddrnet23 has a fixed backbone and decoder and accepts no {part} {shown!r}; remove it, or choose the "
                "model regseg or regseg_large."
            )
    model = DDRNet23(num_classes)
    model.config = {"name": "ddrnet23", "num_classes": num_classes}
    return model


MODELS: dict[str, Callable[..., nn.Module]] = {
    "regseg": partial(_regseg, "regseg", "dilation_1_14", "regseg"),
    "regseg_large": partial(_regseg, "regseg_large", "regseg_large", "regseg_large"),
    "ddrnet23": _ddrnet23,
}


def _read_backbone(given: Backbone | None, default: str) -> tuple[str, Dilations | None]:
    """Return (name, custom dilation rates or None) from a name, dilation rates, or a mapping of both."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = {"dilations": given}
    spec = _read_part("backbone", given, {"name", "dilations"})
    name, dilations = _named("backbone", spec, default, BACKBONES), spec.get("dilations")
    if dilations is None:
        return name, None
    if BACKBONES[name] is RegNetY:
        raise InputError(
            f"The backbone {name} accepts no dilations; remove them, or choose one of "
            f"{', '.join(other for other in DILATIONS if other != name)}."
        )
    return name, dilations


def _read_part(part: str, given: Any, keys: set[str]) -> Mapping[str, Any]:
    if given is None or isinstance(given, str):
        return {"name": given}
    if not isinstance(given, Mapping):
        raise InputError(f"The {part} is {given!r}; give a name{' or a list of dilations' * (part == 'backbone')}.")
    for key in given:
        if key not in keys:
            raise InputError(f"The {part} has an unknown setting {key!r}; it accepts {' and '.join(sorted(keys))}.")
    return given


def _named(part: str, given: Mapping[str, Any], default: str, choices: Iterable[str]) -> str:
    """Return the name of a part, or ``default`` if it is None."""
    name = given.get("name")
    return _known(part, default if name is None else name, choices)


def _described_model(checkpoint: Checkpoint) -> nn.Module:
    """Create the model that a checkpoint describes on the meta device, because a damaged config may be huge."""
    blocks = (checkpoint.config or {}).get("backbone")
    if isinstance(blocks, (list, tuple)) and len(blocks) > len(checkpoint.state_dict):
        raise InputError(f"{checkpoint.source} describes a model of more blocks than it has tensors; choose another.")
    try:
        with torch.device("meta"):
            return build_model(**check_options("model", checkpoint.config, build_model))
    except (InputError, TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor of impossible size
        reason = shortened(str(error), 500)
        raise InputError(f"{checkpoint.source} describes a model that cannot be built: {reason}") from error


def _known(what: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`; raise InputError with the closest match and all choices otherwise."""
    choices = list(choices)
    if name in choices:
        return name
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"There is no {what} {name!r}{hint}; choose {', '.join(choices[:-1])} or {choices[-1]}.")


def _warn_of_holes(model: RegSeg) -> None:
    for name, rate, bound in blocks_with_holes(model):
        number = int(name.rsplit(".", 1)[1])  # stage16.0 is the strided block, so the first custom block is 1
        warnings.warn(
            f"Block {number} of the dilations has rate {rate}, above the bound k/s = {bound:.1f} of Sec. 3.1, so its "
            "field of view has holes; put smaller rates before it.",
            stacklevel=5,
        )
