"""`create_model`: every network of the project by name."""

import difflib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from regseg.errors import InputError
from regseg.models.backbones import BACKBONES, REGSEG_LARGE, SCHEDULES, STEM_CHANNELS, RegNetY, Schedule
from regseg.models.blocks import conv3x3
from regseg.models.complexity import blocks_with_holes
from regseg.models.ddrnet import DDRNet23
from regseg.models.decoders import DECODERS
from regseg.models.regseg import RegSeg

Backbone = str | Schedule | Mapping[str, Any]
Decoder = str | Mapping[str, Any]


def create_model(
    name: str = "regseg", *, backbone: Backbone | None = None, decoder: Decoder | None = None, num_classes: int = 19
) -> nn.Module:
    """A model with new weights: "regseg" (Sec. 3), "regseg_large" or "ddrnet23" (Table 10).

    `backbone` and `decoder` replace the model's own, by a name of Table 4 and of Table 5 (`list_backbones()`,
    `list_decoders()`). `backbone` may also be a schedule: the dilation rates of the blocks at 1/16, such as
    [[1], [1, 2], [1, 4]]; a rate that leaves holes by Sec. 3.1 is warned of. Both may be mappings as well,
    {"name": ..., "dilations": ...} and {"name": ...}, which is how the configuration files write them.

    The model carries `config`, plain values with which `create_model(**model.config)` builds the same again.
    Raises InputError on an unknown name, a schedule that cannot be built, or a part that the model does not take.
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 1:
        raise InputError(f"num_classes is {num_classes!r}: give the number of classes, an integer from 1 up")
    build = MODELS[_known("model", name, MODELS)]
    return build(backbone=backbone, decoder=decoder, num_classes=num_classes)


def title_of(model: nn.Module) -> str:
    """What people call a model of `create_model`: backbone + decoder, or the name of one that is a whole."""
    config = model.config
    if "backbone" not in config:
        return config["name"]
    backbone = config["backbone"]
    return f"{backbone if isinstance(backbone, str) else 'own schedule'} + {config['decoder']}"


def list_models() -> list[str]:
    """Names for `create_model(name)`."""
    return list(MODELS)


def list_backbones() -> list[str]:
    """Names for `create_model(backbone=name)`, in the order of Table 4."""
    return list(SCHEDULES)


def list_decoders() -> list[str]:
    """Names for `create_model(decoder=name)`, in the order of Table 5."""
    return list(DECODERS)


def _regseg(
    name: str,
    own_backbone: str,
    own_decoder: str,
    *,
    backbone: Backbone | None,
    decoder: Decoder | None,
    num_classes: int,
) -> RegSeg:
    backbone_name, schedule = _read_backbone(backbone, own_backbone)
    decoder_name = _known("decoder", _read_part("decoder", decoder, {"name"}).get("name") or own_decoder, DECODERS)
    stem = conv3x3(3, STEM_CHANNELS, stride=2)
    body = BACKBONES[backbone_name]() if schedule is None else BACKBONES[backbone_name](schedule=schedule)
    model = RegSeg(stem, body, DECODERS[decoder_name](body.out_channels, num_classes))
    if schedule is not None:
        _warn_of_holes(model)
        # Such a schedule says nothing of the widths, so the model's name has to: it is the one with these widths.
        name = "regseg_large" if body.shape == REGSEG_LARGE else "regseg"
    model.config = {
        "name": name,
        "backbone": backbone_name if schedule is None else [list(rates) for rates in schedule],
        "decoder": decoder_name,
        "num_classes": num_classes,
    }
    return model


def _ddrnet23(*, backbone: Backbone | None, decoder: Decoder | None, num_classes: int) -> DDRNet23:
    for part, given in (("backbone", backbone), ("decoder", decoder)):
        if given is not None:
            shown = given.get("name", dict(given)) if isinstance(given, Mapping) else given
            raise InputError(
                f"ddrnet23 has its own backbone and decoder and takes no {part} {shown!r}: leave it out, or choose the "
                "model regseg or regseg_large"
            )
    model = DDRNet23(num_classes)
    model.config = {"name": "ddrnet23", "num_classes": num_classes}
    return model


MODELS: dict[str, Callable[..., nn.Module]] = {
    "regseg": partial(_regseg, "regseg", "dilation_1_14", "regseg"),
    "regseg_large": partial(_regseg, "regseg_large", "regseg_large", "regseg_large"),
    "ddrnet23": _ddrnet23,
}


def _read_backbone(given: Backbone | None, own: str) -> tuple[str, Schedule | None]:
    """(name, schedule of one's own or None) from a name, a schedule or a mapping of both."""
    if isinstance(given, Sequence) and not isinstance(given, str):
        given = {"dilations": given}
    spec = _read_part("backbone", given, {"name", "dilations"})
    name, schedule = _known("backbone", spec.get("name") or own, BACKBONES), spec.get("dilations")
    if schedule is None:
        return name, None
    if BACKBONES[name] is RegNetY:
        raise InputError(
            f"the backbone {name} takes no dilation schedule: leave the schedule out, or choose one of "
            f"{', '.join(other for other in SCHEDULES if other != name)}"
        )
    return name, schedule


def _read_part(part: str, given: Any, keys: set[str]) -> Mapping[str, Any]:
    if given is None or isinstance(given, str):
        return {"name": given}
    if not isinstance(given, Mapping):
        raise InputError(f"the {part} is {given!r}: give a name{' or a list of rates' * (part == 'backbone')}")
    for key in given:
        if key not in keys:
            raise InputError(f"the {part} has an unknown setting {key!r}: it takes {' and '.join(sorted(keys))}")
    return given


def _known(what: str, name: str, choices: Iterable[str]) -> str:
    """`name` if it is one of `choices`; raises InputError with the nearest and all of them."""
    choices = list(choices)
    if name in choices:
        return name
    near = difflib.get_close_matches(str(name), choices, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"there is no {what} {name!r}{hint}: choose {', '.join(choices[:-1])} or {choices[-1]}")


def _warn_of_holes(model: RegSeg) -> None:
    for name, rate, bound in blocks_with_holes(model):
        number = int(name.rsplit(".", 1)[1])  # the strided block at 1/16 is 0, so the schedule's first is 1
        warnings.warn(
            f"block {number} of the dilation schedule has rate {rate}, above the bound k/s = {bound:.1f} of Sec. 3.1: "
            "its field of view has holes; put smaller rates before it",
            stacklevel=4,
        )
