"""Weights: safe reading of checkpoints, ours and the author's alike, and loading them into a model.

Three layouts are read, told apart by their keys: a Lightning checkpoint of ours (`network.` before every name), a plain
state dict of a model, and the author's published files (his names, alone or under "model" beside optimizer state).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regseg.errors import InputError, check_options
from regseg.models.factory import create_model
from regseg.models.finite import first_not_finite
from regseg.system.checkpoint_file import read_checkpoint_file, write_checkpoint_file

# A Lightning checkpoint of ours holds `model.config` as the hyperparameter "network" of the LightningModule, whose
# attribute `network` is the model.
HYPERPARAMETERS, NETWORK = "hyper_parameters", "network"

# Prefixes of the LightningModule's network, of torch's DataParallel and AveragedModel, and of torch.compile.
_WRAPPERS = (f"{NETWORK}.", "module.", "_orig_mod.")

Source = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds of a model, by our names."""

    source: str  # the path, or "the given state dict"
    by_author: bool  # from the author's release
    config: dict[str, Any] | None  # that of the model it was taken from, where it is stored
    state_dict: dict[str, Tensor]


@dataclass(frozen=True)
class LoadReport:
    """What `load_weights` did. Its text is one or two lines."""

    source: str
    by_author: bool
    loaded: tuple[str, ...]  # names of the tensors loaded, by our names
    left_out: dict[str, str]  # name -> why it was left at the model's own value

    def __str__(self) -> str:
        origin = " (author's release)" if self.by_author else ""
        total = len(self.loaded) + len(self.left_out)
        lines = [f"loaded {len(self.loaded)} of {total} tensors from {self.source}{origin}"]
        if self.left_out:
            reasons = "; ".join(sorted(set(self.left_out.values())))
            lines.append(f"left out {', '.join(self.left_out)}: {reasons}")
        return "\n".join(lines)


def load_weights(model: nn.Module, source: Source) -> LoadReport:
    """Loads a checkpoint, given as a path or a state dict, into `model`; prints and returns what was loaded.

    Where only the number of classes differs, everything but the classifier is loaded (fine-tuning, Sec. 4.2 on
    CamVid). Raises InputError, and leaves the model as it was, on a file that is missing, unreadable or would run
    code, and on weights of another model.
    """
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps
    checkpoint = read_checkpoint(source)
    left_out = _check_fits(model, checkpoint)
    kept = {name: tensor for name, tensor in checkpoint.state_dict.items() if name not in left_out}
    model.load_state_dict(kept, strict=False)
    report = LoadReport(checkpoint.source, checkpoint.by_author, tuple(kept), left_out)
    print(report)
    return report


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Saves a model of `create_model` with its config, so that `load_model(path)` gives it back."""
    model = getattr(model, "_orig_mod", model)
    write_checkpoint_file(path, {HYPERPARAMETERS: {NETWORK: model.config}, "state_dict": model.state_dict()})


def load_model(path: str | Path) -> nn.Module:
    """The model of a checkpoint of ours, in eval mode: created from the config stored in it, with its weights.

    Raises InputError like `load_weights`, and on a file that does not tell its model, such as the author's.
    """
    checkpoint = read_checkpoint(path)
    if checkpoint.config is None:
        raise InputError(f"{path} does not record its model; create that model and load the weights into it.")
    model = _described_model(checkpoint)
    if _check_fits(model, checkpoint):
        raise InputError(f"{path} has another number of classes than it records; it is damaged.")
    model.to_empty(device="cpu").load_state_dict(checkpoint.state_dict)
    return model.eval()


def read_checkpoint(source: Source) -> Checkpoint:
    """Reads a checkpoint to the CPU and gives its tensors our names; runs no code from it.

    Raises InputError where there is no such file, where it is damaged or would run code, and where it holds no weights.
    """
    name = "the given state dict" if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_checkpoint_file(source)
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state = content[key]
            break
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{name} holds no weights: give a checkpoint of this project or of the author's release")
    state = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    state = _unwrapped(state)
    if bad := first_not_finite(state):
        raise InputError(
            f"{name} holds weights that are not finite (the first is {bad}); choose an earlier checkpoint."
        )
    by_author = any(key.startswith(("body.", "spp.")) for key in state)
    if by_author:
        state = {our_name(key): value for key, value in state.items()}
    hyperparameters = content.get(HYPERPARAMETERS)
    config = hyperparameters.get(NETWORK) if isinstance(hyperparameters, Mapping) else None
    return Checkpoint(name, by_author, dict(config) if isinstance(config, Mapping) and config else None, state)


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's own tensors by their own names: prefixes of wrappers are removed, in any nesting and order.

    A tensor without the prefix that others have belongs to the wrapper, such as a loss's buffer, and is excluded.
    """
    while prefix := next((p for p in _WRAPPERS if any(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key.replace("._orig_mod.", "."): value for key, value in state.items()}  # a part alone was compiled


def classes_in(path: str | Path) -> list[str] | None:
    """The class names that a checkpoint of a training records, in order; None where it records none."""
    content = read_checkpoint_file(path)
    for key in (HYPERPARAMETERS, "spec", "classes"):
        content = content.get(key) if isinstance(content, Mapping) else None
    return [str(name) for name in content] if isinstance(content, (list, tuple)) else None


def _described_model(checkpoint: Checkpoint) -> nn.Module:
    """The model that a checkpoint describes, without memory: a damaged description may ask for more than there is."""
    try:
        with torch.device("meta"):
            return create_model(**check_options("model", checkpoint.config, create_model))
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{checkpoint.source} describes a model that cannot be built: {error}") from error


def _check_fits(model: nn.Module, checkpoint: Checkpoint) -> dict[str, str]:
    """Classifier tensors to leave out because the class count differs, with the reason; InputError for another model.

    Same model: the same names and shapes, but for the first dimension of all its classifier's tensors, and the same
    config where the file tells it, since dilation rates show in no shape.
    """
    ours, theirs = model.state_dict(), checkpoint.state_dict
    differences, left_out = [], {}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name not in theirs:
            differences.append(f"{name} is missing in it")
        elif name not in ours:
            differences.append(f"{name} is in it alone")
        elif ours[name].shape != theirs[name].shape:
            ours_shape, their_shape = tuple(ours[name].shape), tuple(theirs[name].shape)
            if _of_classifier(name) and ours_shape[1:] == their_shape[1:] and their_shape:
                left_out[name] = f"the file has {their_shape[0]} classes, the model {ours_shape[0]}"
            else:
                differences.append(f"{name} is {list(their_shape)} in it and {list(ours_shape)} in the model")
    if left_out and (len(set(left_out.values())) > 1 or len(left_out) < sum(map(_of_classifier, ours))):
        differences += [f"{name}: {reason}" for name, reason in left_out.items()]
    config = getattr(model, "config", {})
    if not differences and checkpoint.config and _parts(config) != _parts(checkpoint.config):
        differences.append(f"it was saved from {_parts(checkpoint.config)}")
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise InputError(
            f"{checkpoint.source} holds weights of another model than {_parts(config)} ({', '.join(differences[:3])}"
            f"{more}): create the model that it was saved from"
        )
    return left_out


def _of_classifier(name: str) -> bool:
    return name.rpartition(".")[0].endswith("classifier")


def _parts(config: Mapping[str, Any]) -> str:
    """What of a config decides what the weights mean: the backbone and decoder, or the name of a model without."""
    return " + ".join(str(config[part]) for part in ("backbone", "decoder") if part in config) or str(
        config.get("name")
    )


def our_name(author_name: str) -> str:
    """Our name of a tensor of the author's release; an unknown name comes back as it is."""
    for pattern, replacement in _AUTHOR_NAMES:
        author_name = re.sub(pattern, replacement, author_name)
    return author_name


def _shifted(template: str, by: int) -> Callable[[re.Match], str]:
    return lambda match: template.format(int(match[1]) + by)


# Applied in order. Inside a block: conv1, bn1, ... -> one ConvBnAct each, but for the convolutions of its SE.
_AUTHOR_NAMES: list[tuple[str, str | Callable[[re.Match], str]]] = [
    # backbones: a stage of one block has no index; RegNetY's last stage has stride 1 here and continues that at 1/16
    (r"^body\.stage32\.(\d+)\.", _shifted("backbone.stage16.{}.", 7)),
    (r"^body\.(stage\d+)\.(?!\d)", r"backbone.\1.0."),
    (r"^body\.", "backbone."),
    # DDRNet-23
    (r"^conv1\.(\d)\.", r"stem.\1."),
    (r"^layer([34])\.", r"low\1."),
    (r"^layer([34])_\.", r"high\1."),
    (r"^layer5\.0\.", "low5."),
    (r"^layer5_\.0\.", "high5."),
    (r"^compression(\d)\.", r"compress\1."),
    (r"^spp\.scale([1-4])\.1\.", _shifted("dappm.scales.{}.", -1)),
    (r"^spp\.process(\d)\.", _shifted("dappm.processes.{}.", -1)),
    (r"^spp\.compression\.", "dappm.compress."),
    (r"^spp\.", "dappm."),
    (r"^final_layer\.bn1\.", "head.conv.bn."),
    (r"^final_layer\.conv1\.", "head.conv.conv."),
    (r"^final_layer\.bn2\.", "head.bn."),
    (r"^final_layer\.conv2\.", "head.classifier."),
    (r"\.downsample\.", ".shortcut."),
    # lraspp
    (r"^decoder\.cbr\.", "decoder.conv."),
    (r"^decoder\.scale\.1\.", "decoder.gate."),
    # sfnet
    (r"^decoder\.head16\.stages\.(\d)\.1\.", r"decoder.head16.stages.\1."),
    (r"^decoder\.head16\.bottleneck\.", "decoder.head16.conv."),
    (r"^decoder\.fpn_align\.down_h\.", "decoder.align.coarse."),
    (r"^decoder\.fpn_align\.down_l\.", "decoder.align.fine."),
    (r"^decoder\.fpn_align\.flow_make\.", "decoder.align.flow."),
    (r"^decoder\.conv_last\.0\.", "decoder.fuse."),
    (r"^decoder\.conv_last\.1\.", "decoder.classifier."),
    # bisenet
    (r"^decoder\.arm16\.scale\.1\.", "decoder.refine16.gate.conv."),
    (r"^decoder\.arm16\.scale\.2\.", "decoder.refine16.gate.bn."),
    (r"^decoder\.arm16\.", "decoder.refine16."),
    (r"^decoder\.conv_head16\.", "decoder.head16."),
    (r"^decoder\.conv_avg\.", "decoder.head_mean."),
    (r"^decoder\.ffm\.conv\.", "decoder.fuse."),
    (r"^decoder\.ffm\.se\.", "decoder.se."),
    # blocks, last because the rules above name whole modules
    (r"\.bn(\d)\.", r".conv\1.bn."),
    (r"\.conv2\.convs\.(\d)\.", r".conv2.conv.branches.\1."),
    (r"^(backbone\..*|decoder\.conv)(?<!\.se)\.conv2\.weight$", r"\1.conv2.conv.branches.0.weight"),
    (r"(?<!\.se)\.conv([123])\.weight$", r".conv\1.conv.weight"),
]
