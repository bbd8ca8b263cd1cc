"""Translates an exception into one sentence for the user and an exit status."""

from __future__ import annotations

import errno
import re
import traceback
from collections.abc import Iterator
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from omegaconf import MissingMandatoryValue, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from regseg.arguments import is_readable
from regseg.config import group_names, names_of
from regseg.errors import InputError, RunFailure, did_you_mean, lack_of_memory, lost_connection
from regseg.help_text import option_comments
from regseg.system.processes import killed_sentence

_EXTRAS = {"TensorBoardLogger": "tensorboard", "MLFlowLogger": "mlflow"}  # what a logger needs
MISTAKE, FAILURE = 2, 1  # exit statuses for a mistake in the command or the data, and for any other failure
_UNWRITABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP),  # something else is at the place of a file or a folder
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Of a failing disk, or of a network file system whose server is gone.
_BROKEN = (errno.EIO, errno.ESTALE, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.EHOSTDOWN, errno.ETIMEDOUT)
# Lightning's exception for a callback or logger that does not fit the training.
_MISCONFIGURED = ("MisconfigurationException",)
_UNKNOWN_METRIC = "Early stopping conditioned on metric"
# The errors in a trace that a process of a distributed run passes to its parent; the last one counts.
_LAST_ERROR = re.compile(
    r"^(?:[\w.]+\.)?(InputError|Consequence|RunFailure|MisconfigurationException|RuntimeError|\w*MemoryError): (.*)",
    re.M | re.S,
)


def explain(error: BaseException) -> tuple[int, str] | None:
    """Return (exit status, sentence) for ``error``; None if it is a bug, in this project or in a custom class."""
    chain = _chain(error)
    for link in chain:
        if isinstance(link, InputError):
            return MISTAKE, str(link)
        if isinstance(link, RunFailure):
            return FAILURE, str(link)
    first = chain[0]
    for found in (_of_configuration(chain), _of_system(first), _of_text(type(first).__name__, str(first))):
        if found is not None:
            return found
    sentence = _of_hydra(chain)
    return None if sentence is None else (MISTAKE, sentence)


def _chain(error: BaseException | None) -> list[BaseException]:
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__
    return chain


def _of_configuration(chain: list[BaseException]) -> tuple[int, str] | None:
    for link in chain:
        if isinstance(link, (ConfigAttributeError, ConfigKeyError)) and link.parent_node is not None:
            return MISTAKE, _of_unknown_option(str(link.full_key or link.key), link.parent_node)
        if isinstance(link, MissingMandatoryValue):
            name = str(link.full_key)
            return MISTAKE, f"{name} is missing{_explained(name)}; set it with {name}=VALUE."
    return None


def _of_unknown_option(name: str, parent: Any) -> str:
    """Explain why the node ``parent`` refuses ``name``, with the nearest options or its siblings."""
    root = parent._get_root()
    options = [key for key in _dotted(root) if not key.startswith("hydra") and "._" not in key]
    groups = [name for name in group_names() if name.partition("/")[0] in root]
    kind = "group" if "/" in name else "option"
    if hint := did_you_mean(name, [*options, *groups]):
        return f"There is no {kind} {name}; {hint}"
    choices = groups if kind == "group" else [str(key) for key in parent if not str(key).startswith(("_", "hydra"))]
    place = f" in {name.rpartition('.')[0]}" if "." in name else ""
    if not choices:
        return f"There is no {kind} {name}; --help lists all groups and options."
    return f"There is no {kind} {name}; choose one of {', '.join(sorted(choices))}{place}."


def _explained(name: str) -> str:
    """Return the explanation of an option of this command in brackets, as ``--help`` shows it; empty if unknown."""
    # The name of the configuration may be that of a user's own.
    command = HydraConfig.get().help.app_name.removeprefix("regseg.") if HydraConfig.initialized() else None
    comment = option_comments(command, {}).get(name, "") if command else ""
    return f" ({comment})" if comment else ""


def _dotted(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all options below ``node``."""
    for key in node:
        yield f"{prefix}{key}"
        child = node._get_node(key)
        if OmegaConf.is_dict(child) and not child._is_none() and not child._is_missing():
            yield from _dotted(child, f"{prefix}{key}.")


def _of_system(error: BaseException) -> tuple[int, str] | None:
    """Explain OS errors for unwritable, full or failing paths. Other OS errors are bugs."""
    if not isinstance(error, OSError):
        return None
    place = f"{error.filename or 'A file'} cannot be read or written ({error.strerror})"
    if error.errno in _UNWRITABLE or (error.errno == errno.ENOENT and _creates_folder(error)):
        return MISTAKE, f"{place}; choose another path or change its permissions."
    if error.errno == errno.EINVAL and error.filename is not None:  # of a character such as : or ? in a name
        return MISTAKE, f"{place}; choose a name that its file system allows."
    if error.errno in _BROKEN and error.filename is not None:  # otherwise it may be a connection's
        return FAILURE, f"{place}; check the disk, or the connection to its server, and repeat the command."
    return (FAILURE, f"{place}; free some space or choose another path.") if error.errno in _FULL else None


def _creates_folder(error: BaseException) -> bool:
    """Return whether the creation of a folder raised ``error``, which some file systems, such as /proc, refuse."""
    frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1] in ("mkdir", "makedirs", "mkdtemp")


def _of_text(kind: str, text: str) -> tuple[int, str] | None:
    """Explain errors of torch and Lightning, recognized by their text, from this process or another one."""
    if kind == "ProcessRaisedException" and (last := list(_LAST_ERROR.finditer(text))):
        kind, text = last[-1].groups()
        if kind in ("InputError", "Consequence", "RunFailure"):
            return (FAILURE if kind == "RunFailure" else MISTAKE), " ".join(text.split())
        return _of_text(kind, text)
    if kind == "ProcessExitedException" and (found := re.search(r"signal (\w+)", text)):
        return FAILURE, killed_sentence(found[1])
    if sentence := lost_connection(kind, text):
        return FAILURE, sentence
    if kind in _MISCONFIGURED or text.startswith(_UNKNOWN_METRIC):
        return MISTAKE, f"Lightning refuses this configuration: {' '.join(text.split()).rstrip('.')}."
    if found := re.search(r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (?:is killed by signal: ([\w ]+)|exited)", text):
        return FAILURE, _of_worker(found[1])
    if sentence := lack_of_memory(kind, text):
        return FAILURE, sentence
    if text.startswith("Instantiation: "):  # a wrong value of one of Hydra's keywords, such as _partial_
        return MISTAKE, f"{text}."
    if kind == "FailedJobError":  # of the submission; the failures of jobs are recorded
        reason = ", ".join(line.removeprefix("sbatch: error: ") for line in text.splitlines())
        return MISTAKE, (
            f"Slurm refused the jobs: {reason.rstrip('.')}; change the options of hydra.launcher, for example "
            "hydra.launcher.partition=NAME, or hydra.launcher.gpus_per_node=null for nodes without GPUs."
        )
    if text.startswith('Could not detect "srun"'):
        return MISTAKE, (
            "hydra/launcher=slurm needs srun, which is not installed here; run the command on a Slurm login node."
        )
    if "PytorchStreamWriter failed" in text:
        return FAILURE, "A checkpoint cannot be written; free some space or choose another folder."
    return None


def _of_worker(signal: str | None) -> str:
    if signal == "Bus error":
        return (
            "A loader worker ran out of shared memory; enlarge /dev/shm (docker run --shm-size=8g) or lower "
            "data.num_workers."
        )
    how = f"was killed ({signal})" if signal else "ended unexpectedly"
    return f"A loader worker {how}, possibly because memory ran out; lower data.num_workers or data.batch_size."


def _of_hydra(chain: list[BaseException]) -> str | None:
    first = chain[0]
    for package, extra in (("joblib", "parallel"), ("submitit", "slurm")):
        if isinstance(first, MissingConfigException) and f"hydra/launcher/{package}" in str(first):
            return f"hydra/launcher={extra} needs a package that is not installed: pip install 'regseg[{extra}]'."
    if isinstance(first, MissingConfigException) and (sentence := _of_missing_choice(first)):
        return sentence
    if isinstance(first, InstantiationException):
        return _of_instantiation(str(first), chain[-1])
    if str(first).startswith("Config group override must be"):
        return "This group cannot be null; choose one of its names, which --help lists."
    if "Ambiguous value for argument" in str(first):
        text = re.search(r"argument '(.*?)=(.*?)'\n", str(first), re.S)
        key, value = text.groups() if text else ("KEY", "VALUE")
        return (
            f"{key}={value} has several values; type '{key}=[{value}]' for a list, add -m to run once per value, or "
            f"type \"{key}='{value}'\" for text with a comma."
        )
    if merged := re.match(r"Error merging override (([^=]+).*)", str(first), re.S):
        return (
            f"{merged[1]} has another structure than the default of {merged[2]}, which --help shows; give a value of "
            "the same structure."
        )
    if group := re.match(r"Could not override '([^']+)'\. No match in the defaults list", str(first)):
        return f"This command has no group {group[1].partition('@')[0]}; --help lists its groups and options."
    if isinstance(first, OverrideParseException):
        key = first.override.partition("=")[0]
        if key.startswith("~") and is_readable(key):  # the only values that are not quoted
            return f"{first.override} has a value that Hydra cannot read; type {key}, which removes the option."
        return f"{key.lstrip('+~')} cannot be the name of an option; --help lists the options."
    if isinstance(first, (HydraException, OmegaConfBaseException)):
        return " ".join(str(first).split())
    return None


def _of_missing_choice(error: MissingConfigException) -> str | None:
    """Explain that a group has no such name; a path for ``data`` probably belongs in ``data.root``."""
    missing = str(error.missing_cfg_file)
    group, _, name = missing.partition("/")
    options = list(error.options or names_of(group))
    if not error.options:  # a group of folders, such as row=table6/NAME
        options = [option for option in options if option.startswith(f"{name.partition('/')[0]}/")] or options
    options = [option for option in options if not option.startswith("_")]
    if not options:
        return None
    if group == "data" and "/" in name:
        return f"data={name} is a path; type data.root={name}, and data=NAME for its layout: {', '.join(options)}."
    hint = did_you_mean(name.rpartition("/")[2], options)
    hint = f" ({hint})" if hint else ""
    return f"{missing} does not exist{hint}; choose one of {', '.join(options)}."


def _of_instantiation(text: str, cause: BaseException) -> str | None:
    # A _target_ that does not exist is the user's mistake; an error inside a target is a bug.
    if text.startswith("Error locating target"):
        return f"{text.split(', set env')[0]} ({cause})."
    if wrong := re.match(r"Expected a callable target, got '(?:<module ')?(.*?)(?:' .*>)?' of type", text):
        target = "null" if wrong[1] == "None" else wrong[1]
        return f"_target_={target} is not a class or a function; name one with its module, such as torch.optim.SGD."
    if blocked := re.match(r"Target '(.+?)' is blocklisted", text):
        return f"_target_={blocked[1]} is refused, because it could run any code; name a class, as in torch.optim."
    called = re.search(r"in call to target '((?:lightning|torch)\.[\w.]+)'", text)
    if called and type(cause) in (TypeError, ValueError):
        return f"{called[1].rpartition('.')[2]} refuses its options: {' '.join(str(cause).split()).rstrip('.')}."
    if isinstance(cause, ImportError) and (target := re.search(r"in call to target '[\w.]*?(\w+)'", text)):
        name = target[1]
        remedy = f"pip install 'regseg[{_EXTRAS[name]}]'" if name in _EXTRAS else f"install it ({cause})"
        return f"{name} needs a package that is not installed: {remedy}."
    unfit = ("unexpected keyword argument", "required positional argument", "required keyword-only argument")
    if isinstance(cause, TypeError) and any(words in str(cause) for words in unfit):
        return f"{cause}."
    found = _of_text(type(cause).__name__, str(cause))
    return found[1] if found else None
