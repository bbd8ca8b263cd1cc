"""What every entry point shares: Hydra's command line, and a user's mistakes told in one sentence."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, MissingMandatoryValue
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from regseg import sweep
from regseg.config import config_dir, register_resolvers
from regseg.errors import InputError

# What a system says of places that are closed or full. All else that it says is a defect of this project.
_REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)

register_resolvers()  # when imported, for a launcher's processes come by no other way
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let exceptions reach `run`, which words them


def entry_point(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[[], None]]:
    """Turn a job into a command line program configured by ``conf/<config_name>.yaml``.

    A mistake of the user's ends it with one sentence and exit status 2. In a sweep, a job that fails does not stop the
    others; the last lines say which failed and why, and the exit status is 1.
    """

    def decorate(job: Callable[[DictConfig], Any]) -> Callable[[], None]:
        @functools.wraps(job)
        def job_in_hydra(cfg: DictConfig) -> Any:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                return _note_failure(job, cfg)
            try:
                return job(cfg)
            except Exception as error:
                _explain(error)
                raise

        @functools.wraps(job)
        def run() -> None:
            # A warning is for the person at the command line, who has no use for a source line.
            warnings.formatwarning = lambda message, *_, **__: f"regseg: {message}\n"
            # A file's name may have characters, or bytes, that the terminal's encoding lacks.
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")
            main = hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config_name)
            sweeps = any(_asks_for_sweep(argument) for argument in sys.argv[1:])
            command = shlex.join(["python", "-m", f"regseg.{config_name}", *sys.argv[1:]])
            with sweep.sweep_folder(command) if sweeps else contextlib.nullcontext():
                try:
                    main(job_in_hydra)()
                except KeyboardInterrupt:
                    remedy = "; the same command goes on with the sweep" if sweeps else ""
                    print(f"regseg: interrupted{remedy}.", file=sys.stderr)
                    sys.exit(130)
                except Exception as error:
                    _explain(error)
                    if sweeps:  # jobs do not raise; this is the launcher, of a process that was killed for memory, say
                        sweep.fail_sweep(
                            sweep.failures(), f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                        )
                    raise
                if sweeps and (failed := sweep.failures()):
                    sweep.fail_sweep(failed)

        return run

    return decorate


def _asks_for_sweep(argument: str) -> bool:
    # argparse takes beginnings of --multirun, too.
    return argument in ("-m", "hydra.mode=MULTIRUN") or (argument[:4] == "--mu" and "--multirun".startswith(argument))


def _note_failure(job: Callable[[DictConfig], Any], cfg: DictConfig) -> Any:
    """Run a job of a sweep; write down how it failed, if it did, and let the sweep go on."""
    try:
        return job(cfg)
    except Exception as error:
        if (end := _end_within(error)) is not None:
            raise end from None
        sentence = _sentence(error)
        if sentence is None:
            traceback.print_exc()
            sentence = f"{type(error).__name__}: {error}"
        print(f"regseg: {sentence}", file=sys.stderr)
        sweep.note_failure(HydraConfig.get().job.num, " ".join(HydraConfig.get().overrides.task), sentence)
        return None


def _end_within(error: BaseException | None) -> BaseException | None:
    """The interrupt or exit during which ``error`` came up; None if it is an error in its own right.

    When Slurm ends a job or a person a sweep, loader workers end too, and their ends are told as errors of a clean-up.
    """
    while error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
        error = error.__context__
    return error


def _explain(error: Exception) -> None:
    """Exit with 2 and one sentence if ``error`` is the user's mistake; return otherwise."""
    sentence = _sentence(error)
    if sentence is not None:
        print(f"regseg: {sentence}", file=sys.stderr)
        sys.exit(2)


def _sentence(error: BaseException | None) -> str | None:
    chain = []
    while error is not None:
        chain.append(error)
        error = error.__cause__
    for link in chain:
        if isinstance(link, InputError):
            return str(link)
    for link in chain:
        if isinstance(link, (ConfigAttributeError, ConfigKeyError)) and link.parent_node is not None:
            choices = ", ".join(sorted(str(key) for key in link.parent_node))
            return f"{link.full_key or link.key} is not an option here; choose one of {choices}."
        if isinstance(link, MissingMandatoryValue):
            return f"{link.full_key} is missing; give it as {link.full_key}=VALUE."
    first = chain[0]
    if isinstance(first, OSError) and first.errno in _REFUSALS:
        return f"{first.filename or 'A file'} cannot be read or written ({first.strerror}); choose another place."
    if type(first).__name__ == "ProcessRaisedException" and "InputError: " in str(first):
        # Of a process of a distributed run, whose whole trace comes before the sentence.
        return str(first).rpartition("InputError: ")[2].strip()
    for package, extra in (("joblib", "parallel"), ("submitit", "slurm")):
        if isinstance(first, MissingConfigException) and f"hydra/launcher/{package}" in str(first):
            return f"hydra/launcher={extra} needs a package that is not installed: pip install 'regseg[{extra}]'."
    if isinstance(first, MissingConfigException) and first.options:
        choices = ", ".join(option for option in first.options if not option.startswith("_"))
        return f"{first.missing_cfg_file} does not exist; choose one of {choices}."
    if isinstance(first, InstantiationException):
        # A _target_ that does not exist is the user's mistake; what a target raises when it is called is not.
        if str(first).startswith("Error locating target"):
            return f"{str(first).split(', set env')[0]} ({chain[-1]})."
        unexpected = isinstance(chain[-1], TypeError) and "unexpected keyword argument" in str(chain[-1])
        return f"{chain[-1]}." if unexpected else None
    if str(first).startswith("Config group override must be"):
        return "A group cannot be null here; choose one of its names, which --help lists."
    if isinstance(first, (HydraException, OmegaConfBaseException)):
        return " ".join(str(first).split())
    return None
