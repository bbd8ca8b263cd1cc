"""One command for all entry points: ``regseg COMMAND …`` runs ``python -m regseg.COMMAND …``."""

from __future__ import annotations

import difflib
import importlib.util
import os
import runpy
import sys

from regseg.system.output import guard_output

COMMANDS = {
    "train": "train a network, or sweep over the rows of a table of the paper",
    "evaluate": "evaluate weights on a split: IoU per class, mIoU and pixel accuracy",
    "predict": "segment images, folders and videos",
    "export": "export a trained network to ONNX, OpenVINO or PyTorch",
    "benchmark": "measure the speed of the loader, of training and of inference on this machine",
    "describe": "print parameters, GFLOPs and field of view of networks",
    "prepare": "check, preview and store a dataset",
    "report": "compare the runs of a table with the paper and with the author's runs",
    "dashboard": "build a W&B workspace for a group of runs",
}


def main() -> None:
    """Run the command that the first argument names, with the remaining arguments."""
    arguments = sys.argv[1:]
    guard_output()
    commands = {name: text for name, text in COMMANDS.items() if importlib.util.find_spec(f"regseg.{name}")}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        usage = (
            "usage: regseg COMMAND [GROUP=NAME …] [option=value …]\n\ncommands (regseg COMMAND --help lists options):"
        )
        _print("\n".join([usage, *(f"  {name:<10} {text}" for name, text in commands.items())]))
        return
    if arguments[0] == "--version":
        from regseg import __version__

        _print(f"regseg {__version__}")
        return
    if arguments[0] not in commands:
        near = difflib.get_close_matches(arguments[0], commands, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(commands)}."
        if "=" in arguments[0]:
            hint = f"type it after a command, as in regseg predict {arguments[0]}."
        elif not near and (os.path.splitext(arguments[0])[1] or os.path.exists(arguments[0])):
            hint = f"to label images, type regseg predict source={arguments[0]}."
        print(f"regseg: {arguments[0]} is not a command; {hint}", file=sys.stderr)
        sys.exit(2)
    module = f"regseg.{arguments[0]}"
    # As with `python -m`, __main__ keeps its spec: runs record their command from it, and joblib finds the module.
    sys.argv = [module, *arguments[1:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError as error:  # a full disk
        print(f"regseg: The output cannot be written ({error.strerror}); free some space.", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
