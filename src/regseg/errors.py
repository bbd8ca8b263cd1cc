"""The exceptions for a user's mistakes and for external failures, and checks of values."""

import difflib
import inspect
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

# Names of options in other projects -> the options they may mean here; the first that the command has is suggested.
_SYNONYMS = {
    **dict.fromkeys(("checkpoint", "ckpt", "ckpt_path", "pretrained", "weight", "resume_from", "w"), "weights"),
    **dict.fromkeys(("input", "image", "images", "img", "file", "video", "src", "i"), "source"),
    **dict.fromkeys(("output", "outdir", "out_dir", "output_dir", "save_dir", "dest", "o"), "out"),
    **dict.fromkeys(("data_dir", "dataset_root", "data_root", "dir", "path"), "data.root source"),
    "dataset": "data source",
    **dict.fromkeys(("epochs", "epoch", "num_epochs"), "trainer.max_epochs"),
    **dict.fromkeys(("learning_rate", "lr"), "optimizer.lr"),
    **dict.fromkeys(("batch", "bs"), "data.batch_size"),
    **dict.fromkeys(("workers", "num_worker"), "data.num_workers"),
    **dict.fromkeys(("gpu", "gpus"), "device trainer.devices"),
    **dict.fromkeys(("cpu", "device", "accelerator"), "trainer.accelerator device"),
    **dict.fromkeys(("fp16", "amp", "half"), "trainer.precision precision"),
    **dict.fromkeys(("name", "run_name", "exp_name"), "run.name"),
    **dict.fromkeys(("arch", "network", "net"), "model"),
    "backbone": "model/backbone",
    "decoder": "model/decoder",
    **dict.fromkeys(("force", "replace", "f"), "overwrite"),
}

_LARGEST = 2**63 - 1  # what PyTorch and NumPy can represent
# Errors of torch.distributed, and what they say if another process has ended or never started.
_OF_CONNECTIONS = ("DistBackendError", "DistNetworkError", "DistStoreError")
_REASONS = r"Connection (closed|reset) by peer|remote process exited|[Bb]roken pipe|[Tt]imed out|[Cc]onnection refused"

_REPR = reprlib.Repr()
# 30: class weights that differ in the last of 19 classes must not look alike.
_REPR.maxlevel, _REPR.maxstring, _REPR.maxlist, _REPR.maxdict = 3, 80, 30, 10


class InputError(ValueError):
    """An invalid file, value or option given by the user.

    The message is one sentence that names the file or value and says what to do. Entry points print it without a stack
    trace and exit with status 2. Exceptions of other types are bugs and keep their trace, except for those that
    `regseg.error_messages` knows.

    Args:
        sentence: The message; a missing full stop is added.
    """

    def __init__(self, sentence: str) -> None:
        # A DataLoader re-raises a worker's error with the worker's trace in front of the sentence.
        text = sentence.rpartition("InputError: ")[2].strip()
        super().__init__(text if text.endswith("?") else text.rstrip(".") + ".")


class Consequence(InputError):
    """A mistake that another process of a distributed run may describe better; only that message is printed."""


class RunFailure(Exception):
    """An external failure, such as a removed folder, as one sentence. Entry points print it and exit with status 1."""


def is_cause(error: BaseException) -> bool:
    """Return whether ``error`` names the cause of a failure, not a consequence of another process's failure."""
    return isinstance(error, (InputError, RunFailure)) and not isinstance(error, Consequence)


# OpenCV says "Insufficient memory", cuBLAS "ALLOC_FAILED", and a loader worker passes the name of its exception.
_NO_MEMORY = (
    r"allocate memory|not enough memory|insufficient memory|out of memory|OutOfMemory|\bMemoryError\b|ALLOC_FAILED"
)


def lost_connection(kind: str, text: str) -> str | None:
    """Return a sentence for an error of PyTorch with this type and text if another process of a run has ended.

    On the same machine, the parent process knows why it ended. Processes on other machines see only this error.
    """
    if kind not in _OF_CONNECTIONS and not (kind == "RuntimeError" and "/gloo/" in text):
        return None
    if not (reason := re.search(_REASONS, text)):
        return None
    return (
        f"The connection to another process of the distributed run was lost ({reason[0]}); look for the cause in the "
        "output of that process, and start all of them again."
    )


def lack_of_memory(kind: str, text: str) -> str | None:
    """Return a sentence for an error of PyTorch, NumPy or OpenCV with this type and text if memory ran out."""
    if "MemoryError" not in kind and not re.search(_NO_MEMORY, text, re.IGNORECASE):
        return None
    place = "the GPU" if re.search("CUDA|CUBLAS|CUDNN|HIP", text) else "this machine"
    return f"The memory of {place} ran out; lower the batch size or the size of the images or crops."


def message(error: BaseException) -> str:
    """Return the message of ``error``; for an error from another process, the last line of its trace."""
    kind, text = type(error).__name__, str(error).strip()
    if sentence := lost_connection(kind, text) or lack_of_memory(kind, text):
        return sentence
    last = text.splitlines()[-1] if "Traceback (most recent call last)" in text else text
    return last.rpartition("InputError: ")[2]


def shortened(value: object, longest: int = 200) -> str:
    """Return a value from a file as text for a message: a nested or shared value may be huge when it is written out."""
    try:
        text = typed(value) if value is None or isinstance(value, (bool, str)) else _REPR.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "a huge number"
    return text if len(text) <= longest else f"{text[:longest]}…"


def typed(value: Any) -> str:
    """Return the text of a plain value in a command or a YAML file: ``[0.5,1]``, ``true``, ``null``."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return f"[{','.join(map(typed, value))}]" if is_list else str(value)


def counted(number: int, noun: str) -> str:
    """Return ``1 image`` or ``2 images``, of a noun with a regular plural."""
    return f"{number} {noun}{'s' * (number != 1)}"


def did_you_mean(given: str, choices: Iterable[str]) -> str:
    """Return ``did you mean …?`` for a mistyped name; empty if none of the choices is near; see `near_names`."""
    near = near_names(given, choices)
    return f"did you mean {' or '.join(near)}?" if near else ""


def near_names(given: str, choices: Iterable[str]) -> list[str]:
    """Return at most two names that a mistyped or foreign name may mean.

    Dotted names are compared by their last part: first with those of the same parent, then with all others.

    Args:
        given: The mistyped name.
        choices: The names that exist.
    """
    choices = list(choices)
    parent, _, last = given.rpartition(".")
    last = last.replace("-", "_")
    known = [choice for choice in _SYNONYMS.get(last, "").split() if choice in choices]
    near: list[str] = known[:1]
    for cutoff, group in (
        (0.6, [choice for choice in choices if choice.rpartition(".")[0] == parent]),
        (1.0, choices),
        (0.75, choices),
    ):
        ends = [choice.rpartition(".")[2] for choice in group]
        for end in difflib.get_close_matches(last, ends, n=1, cutoff=cutoff) if not known else []:
            near += [choice for choice in group if choice.rpartition(".")[2] == end]
    return list(dict.fromkeys(near))[:2]


def check_number(
    name: str, value: object, *, lowest: float = 0, highest: float = math.inf, integer: bool = False
) -> None:
    """Raise InputError unless ``value`` is a finite number (or an integer) from ``lowest`` to ``highest``."""
    kinds = int if integer else (int, float)
    if isinstance(value, int) and value > _LARGEST:
        highest = min(highest, _LARGEST)
    number = isinstance(value, kinds) and not isinstance(value, bool) and abs(cast(float, value)) != math.inf
    if not number or not lowest <= cast(float, value) <= highest:
        kind = "an integer" if integer else "a number"
        limits = f"of at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}"
        limits = "" if lowest == -math.inf else f" {limits}"
        shown = repr(value) if isinstance(value, str) else typed(value)  # quotes distinguish '0' from 0
        raise InputError(f"{name}={shown} is not {kind}{limits}.")


def check_size(name: str, size: Any, *, highest: float = math.inf) -> None:
    """Raise InputError unless ``size`` is a list of a height and a width, from 32 pixels to ``highest``."""
    if isinstance(size, str) or not isinstance(size, Sequence) or len(size) != 2:
        raise InputError(f"{name}={typed(size)} is not a height and a width; write '{name}=[1024,2048]'.")
    for side in size:
        check_number(name, side, lowest=32, highest=highest, integer=True)


def check_boolean(name: str, value: object, words: Sequence[object] = ()) -> None:
    """Raise InputError unless ``value`` is True, False or one of the ``words``."""
    if not isinstance(value, bool) and value not in words:
        choices = ["true", *map(str, words)]
        raise InputError(f"{name}={typed(value)} is not a boolean; use {', '.join(choices)} or false.")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise InputError unless ``value`` is one of ``choices``."""
    names = list(choices)
    if value not in names:
        hint = did_you_mean(typed(value), names)
        hint = f" ({hint})" if hint else ""
        raise InputError(f"{name}={typed(value)} does not exist{hint}; choose one of {', '.join(names)}.")


def check_options(
    name: str, options: Mapping[str, Any] | None, function: Callable[..., Any], *args: Any, near: Iterable[str] = ()
) -> dict[str, Any]:
    """Check that ``function(*args, **options)`` is a valid call.

    Args:
        name: The options' name in the configuration, for the message.
        options: Keyword arguments; None means none.
        function: The function that would be called.
        *args: Its positional arguments.
        near: Further names that a mistyped option may have meant.

    Returns:
        The options as a dict.

    Raises:
        InputError: An option does not exist or is missing; names it and a similar one, or else lists the valid ones.
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise InputError(f"{name}={typed(options)} is not a mapping; use {name}={{OPTION: VALUE}}.")
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **options)
    except TypeError as error:
        known = list(signature.parameters)[len(args) :]
        strange = next((key for key in options if key not in known), None)
        fault = f"={dict(options)} is invalid ({error})" if strange is None else f".{strange} does not exist"
        hint = did_you_mean(f"{name}.{strange}", [f"{name}.{option}" for option in (*known, *near)])
        remedy = hint or f"the options are {', '.join(known) or 'none'}."
        raise InputError(f"{name}{fault}; {remedy}") from error
    return dict(options)
