"""Safe reading of checkpoints, and loading of weights into a model.

Three formats are recognized by their keys: Lightning checkpoints of this project (every name starts with `network.`),
plain state dicts of a model, and the files of the author's release (the author's names, either at the top level or
under "model" next to optimizer state).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from regseg.errors import InputError, check_choice, shortened
from regseg.models.author_keys import remap_key
from regseg.models.description import config_of
from regseg.models.finite import first_negative_variance, first_not_finite
from regseg.system.checkpoint_file import OpenedFile, read_checkpoint_file, recorded_classes, write_checkpoint_file
from regseg.system.weights_files import PARTS, resolve_weights, shown_weights

# The LightningModule stores the model's config as its hyperparameter "network"; its attribute `network` is the model.
HYPERPARAMETERS, NETWORK = "hyper_parameters", "network"

# Prefixes added by the LightningModule, by DataParallel and AveragedModel, and by torch.compile.
_WRAPPERS = (f"{NETWORK}.", "module.", "_orig_mod.")
_NAMED = 4  # skipped tensors that are named when weights are loaded
_BACKBONE = ("stem.", "backbone.")  # prefixes of the names of tensors

Source = str | Path | Mapping[str, Any] | OpenedFile


class _Spec(Protocol):
    """A `DatasetSpec`, from a package that this one does not import."""

    def to_dict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Checkpoint:
    """The weights of a model as read from a checkpoint.

    Attributes:
        source: the path, or "the given state dict".
        by_author: whether the checkpoint is from the author's release.
        config: the config of the model it was saved from; None if the file does not record it.
        state_dict: the tensors, under the names used in this project.
        classes: the names of the classes, in order; None if the file does not record them.
    """

    source: str
    by_author: bool
    config: dict[str, Any] | None
    state_dict: dict[str, Tensor]
    classes: list[str] | None = None


@dataclass(frozen=True)
class LoadReport:
    """The result of `load_weights`. Its text is one or two lines.

    Attributes:
        source, by_author: as in `Checkpoint`.
        loaded: names of the loaded tensors.
        skipped: name -> reason for each tensor that keeps the model's value.
    """

    source: str
    by_author: bool
    loaded: tuple[str, ...]
    skipped: dict[str, str]

    def __str__(self) -> str:
        origin = " (author's release)" if self.by_author else ""
        total = len(self.loaded) + len(self.skipped)
        lines = [f"Loaded {len(self.loaded)} of {total} tensors from {self.source}{origin}."]
        if self.skipped:
            reasons = "; ".join(sorted(set(self.skipped.values())))
            names = ", ".join(list(self.skipped)[:_NAMED])
            more = f" and {len(self.skipped) - _NAMED} more" if len(self.skipped) > _NAMED else ""
            lines.append(f"Skipped {names}{more}: {reasons}; these tensors keep their initial values.")
        return "\n".join(lines)


def load_weights(
    model: nn.Module, source: Source | Checkpoint, *, part: str = "all", classes: Sequence[str] | None = None
) -> LoadReport:
    """Load a checkpoint into a model and print a report.

    If only the classes differ, all tensors except the classifier's are loaded (fine-tuning on CamVid, Sec. 4.2).

    Args:
        model: the model; it may be compiled.
        source: a checkpoint, a run's folder, one of `list_weights()`, or a state dict.
        part: ``all``, or ``backbone`` to load only stem and backbone, so that the decoder may differ.
        classes: names of the model's classes, in order. If the file records others, its classifier is not loaded, even
            if it has as many. None compares only the number.

    Returns:
        The loaded and the skipped tensors.

    Raises:
        InputError: the file is missing, unreadable, damaged or would run code, or the weights are from a different
            model. The model is not changed.
    """
    model = _uncompiled(model)
    checkpoint = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    check_choice("weights_part", part, PARTS)
    others: list[str] = []
    if part == "backbone":
        checkpoint, others = _backbone_of(checkpoint, model)
    skipped = _other_classes(model, checkpoint, classes) | check_fits(model, checkpoint)
    skipped |= dict.fromkeys(others, "not part of the backbone")
    kept = {name: tensor for name, tensor in checkpoint.state_dict.items() if name not in skipped}
    model.load_state_dict(kept, strict=False)
    report = LoadReport(checkpoint.source, checkpoint.by_author, tuple(kept), skipped)
    print(report)
    return report


def _other_classes(model: nn.Module, checkpoint: Checkpoint, classes: Sequence[str] | None) -> dict[str, str]:
    """Return name -> reason for the classifier's tensors if the file records other classes, or another order."""
    found = checkpoint.classes
    if classes is None or found is None or found == list(classes):
        return {}
    reason = f"the file has other classes or another order ({shortened(', '.join(found))})"
    return dict.fromkeys(filter(_of_classifier, model.state_dict()), reason)


def _backbone_of(checkpoint: Checkpoint, model: nn.Module) -> tuple[Checkpoint, list[str]]:
    """Return the checkpoint with all tensors outside stem and backbone replaced by the model's, and their names."""
    found = {name: value for name, value in checkpoint.state_dict.items() if name.startswith(_BACKBONE)}
    if not found:
        raise InputError(f"{checkpoint.source} has no stem and backbone; give weights_part=all.")
    others = {name: value for name, value in model.state_dict().items() if not name.startswith(_BACKBONE)}
    # The decoder of the file's model does not matter. The dilation rates of its backbone do, but no shape shows them.
    own = config_of(model)
    config = checkpoint.config and checkpoint.config | {key: own[key] for key in ("decoder",) if key in own}
    return replace(checkpoint, state_dict=found | others, config=config), list(others)


def save_weights(model: nn.Module, path: str | Path, *, spec: Mapping[str, Any] | _Spec | None = None) -> None:
    """Save a model of `create_model` with its config, which `load_model` reads.

        regseg.save_weights(model, "own.ckpt", spec=datamodule.spec)

    Args:
        model: the model; it may be compiled.
        path: the file to write.
        spec: the dataset's classes, which `Predictor` and ``regseg.export`` need; as an object or as its `to_dict()`.

    Raises:
        InputError: ``path`` is a folder, or ``spec`` does not describe as many classes as the model has.
        OSError: the file cannot be written; an existing file is not changed.
    """
    model = _uncompiled(model)
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder; give a file in it, such as {Path(path) / 'own.ckpt'}.")
    parameters = {NETWORK: config_of(model)} | ({} if spec is None else {"spec": _described(spec, model)})
    write_checkpoint_file(path, {HYPERPARAMETERS: parameters, "state_dict": model.state_dict()})


def _described(spec: Mapping[str, Any] | _Spec, model: nn.Module) -> dict[str, Any]:
    """Return the plain values of a spec; see `save_weights`."""
    values = spec if isinstance(spec, Mapping) else getattr(spec, "to_dict", dict)()
    classes, number = values.get("classes"), config_of(model).get("num_classes")
    if not isinstance(classes, (list, tuple)):
        raise InputError(f"spec is of the type {type(spec).__name__} and lists no classes; give datamodule.spec.")
    if number not in (None, len(classes)):
        raise InputError(f"spec has {len(classes)} classes and the model {number}; give the spec it was trained with.")
    return dict(values)


def _uncompiled(model: nn.Module) -> nn.Module:
    """Return the model without the wrapper of torch.compile."""
    if not isinstance(model, nn.Module):
        raise InputError(f"The model is of the type {type(model).__name__}; give one of regseg.create_model.")
    return getattr(model, "_orig_mod", model)


def read_checkpoint(source: Source) -> Checkpoint:
    """Read a checkpoint to the CPU, without running code from it, and rename its tensors to the names of this project.

    Args:
        source: a checkpoint, a run's folder, one of `list_weights()`, or the content of a checkpoint.

    Raises:
        InputError: the file is missing, damaged or would run code, or it contains no weights or weights that are not
            finite.
    """
    if not isinstance(source, (Mapping, OpenedFile)):
        source = resolve_weights(source)
    name = "the given state dict" if isinstance(source, Mapping) else shown_weights(str(source))
    content = source if isinstance(source, Mapping) else read_checkpoint_file(source)
    state = content
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            state = content[key]
            break
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{name} contains no weights; give a checkpoint of this project or of the author's release.")
    state = _unwrapped({str(key): value for key, value in state.items() if isinstance(value, Tensor)})
    if bad := first_not_finite(state):
        raise InputError(
            f"{name} contains weights that are not finite (the first is {bad}); choose an earlier checkpoint."
        )
    if bad := first_negative_variance(state):
        raise InputError(f"{name} contains negative variances (the first are {bad}); choose other weights.")
    by_author = any(key.startswith(("body.", "spp.")) for key in state)
    state = {remap_key(key): value for key, value in state.items()} if by_author else state
    hyperparameters = content.get(HYPERPARAMETERS)
    config = hyperparameters.get(NETWORK) if isinstance(hyperparameters, Mapping) else None
    config = dict(config) if isinstance(config, Mapping) and config else None
    return Checkpoint(name, by_author, config, state, recorded_classes(content))


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of wrappers from the names, in any nesting and order.

    A tensor without a prefix that others have belongs to the wrapper, such as a buffer of a loss, and is dropped.
    """
    while prefix := next((p for p in _WRAPPERS if any(key.startswith(p) for key in state)), None):
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key.replace("._orig_mod.", "."): value for key, value in state.items()}  # prefix of compiled submodules


def check_fits(model: nn.Module, checkpoint: Checkpoint) -> dict[str, str]:
    """Check that a checkpoint was saved from this model, up to the number of classes.

    The names and shapes must be equal, except for the first dimension of all tensors of the classifier. The config must
    be equal too if the file records it, because dilation rates do not show in shapes.

    Returns:
        Name -> reason for the classifier's tensors to skip because the number of classes differs.

    Raises:
        InputError: the checkpoint is from a different model.
    """
    ours, theirs = model.state_dict(), checkpoint.state_dict
    differences, skipped = [], {}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        if name not in theirs:
            differences.append(f"{name} is missing in the file")
        elif name not in ours:
            differences.append(f"{name} is only in the file")
        elif ours[name].shape != theirs[name].shape:
            our_shape, their_shape = tuple(ours[name].shape), tuple(theirs[name].shape)
            if _of_classifier(name) and our_shape[1:] == their_shape[1:] and their_shape:
                skipped[name] = f"the file has {their_shape[0]} classes, the model {our_shape[0]}"
            else:
                differences.append(f"{name} is {list(their_shape)} in the file and {list(our_shape)} in the model")
        elif ours[name].is_floating_point() and not theirs[name].is_floating_point():  # such as quantized weights
            differences.append(f"{name} is {theirs[name].dtype} in the file and {ours[name].dtype} in the model")
    if skipped and (len(set(skipped.values())) > 1 or len(skipped) < sum(map(_of_classifier, ours))):
        differences += [f"{name}: {reason}" for name, reason in skipped.items()]
    given = _parts(config_of(model))
    if not differences and checkpoint.config and given != _parts(checkpoint.config):
        raise InputError(
            f"{checkpoint.source} was saved from {_parts(checkpoint.config)}, but the model is {given}; create the "
            "model that it was saved from."
        )
    if differences:
        more = f" and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise InputError(
            f"{checkpoint.source} contains weights of a different model than {given} "
            f"({', '.join(differences[:3])}{more}); create the model that it was saved from"
            f"{_backbone_hint(ours, theirs)}."
        )
    return skipped


def classes_of(checkpoint: Checkpoint) -> int:
    """Return the number of classes of a checkpoint's classifier.

    Raises:
        InputError: it has no classifier.
    """
    tensors = (value for name, value in checkpoint.state_dict.items() if _of_classifier(name) and value.ndim)
    number = next(map(len, tensors), None)
    if number is None:
        raise InputError(f"{checkpoint.source} contains no classifier; give num_classes.")
    return number


def _backbone_hint(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> str:
    """Return how to load only the backbone, if there is one and all its tensors are in the file."""
    names = [name for name in ours if name.startswith(_BACKBONE)]
    fits = all(name in theirs and theirs[name].shape == ours[name].shape for name in names)
    return ", or load only its backbone: weights_part=backbone (part='backbone' in Python)" if names and fits else ""


def _of_classifier(name: str) -> bool:
    return name.rpartition(".")[0].endswith("classifier")


def _parts(config: Mapping[str, Any]) -> str:
    """Return the parts of a config that the weights depend on: backbone and decoder, or the name of the model."""
    return " + ".join(str(config[part]) for part in ("backbone", "decoder") if part in config) or str(
        config.get("name")
    )
