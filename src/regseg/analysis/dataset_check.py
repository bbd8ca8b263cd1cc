"""Every problem of a dataset in one pass, instead of the first alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

from regseg.data.beside import progress
from regseg.data.files import Problem, Sample, read_image, read_label
from regseg.data.spec import DatasetSpec
from regseg.errors import InputError

SPLITS = ("train", "val", "test")
SHOWN = 5  # problems of a kind on the console; all of them are in the file


def check(datamodule: Any, out: Path) -> None:
    """Print and write to ``out/problems.txt`` what is wrong with any file of any split.

    Raises:
        InputError: there are problems; says how many of which kind.
    """
    problems, counts = find_problems(datamodule.dataset, datamodule.spec)
    found = ", ".join(f"{number} in {split}" for split, number in counts.items())
    if "test" not in counts:
        print("without a split test, which training does not need")
    if not problems:
        print(f"no problem in {sum(counts.values())} pairs ({found}) of {datamodule.hparams.root}")
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "problems.txt").write_text("".join(f"{kind}: {sentence}\n" for kind, sentence in problems))
    kinds = Counter(problem.kind for problem in problems)
    for kind, number in kinds.most_common():
        print(f"{number} x {kind}")
        for problem in [problem for problem in problems if problem.kind == kind][:SHOWN]:
            print(f"    {problem.sentence}")
    listed = ", ".join(f"{number} x {kind}" for kind, number in kinds.most_common())
    total = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise InputError(f"{datamodule.hparams.root} has {total} ({listed}), all listed in {out / 'problems.txt'}.")


def find_problems(dataset: Any, spec: DatasetSpec) -> tuple[list[Problem], dict[str, int]]:
    """(problems, pairs looked at in each split); a split that cannot be listed at all is one problem."""
    problems: list[Problem] = []
    pairs: list[Sample] = []
    counts = {}
    for split in SPLITS:
        try:
            found = dataset.samples(split, problems)
        except InputError as error:
            if split != "test":
                problems.append(Problem(f"no split {split}", str(error)))
            continue
        pairs += found
        counts[split] = len(found)
        problems += labels_without_image(found)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda sample: list(content_problems(sample, spec)), pairs)
        for result in progress(results, len(pairs), "reading every image and label"):
            problems += result
    return problems, counts


def content_problems(sample: Sample, spec: DatasetSpec) -> Iterator[Problem]:
    """What is wrong within a pair's two files."""
    sizes = []
    for kind, read in (
        ("unreadable image", lambda: read_image(sample.image)),
        ("unusable label", lambda: read_label(sample.label, spec)),
    ):
        try:
            sizes.append(read().shape[:2])
        except InputError as error:
            yield Problem(kind, str(error))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        image, label = (f"{width}x{height}" for height, width in sizes)
        yield Problem("sizes differ", f"{sample.image} is {image} pixels but its label {sample.label} is {label}.")


def labels_without_image(samples: Iterable[Sample]) -> Iterator[Problem]:
    """Files that are named as the labels are, in their folders, but belong to no image."""
    labels = {sample.label for sample in samples}
    endings = {_beyond(sample.image.stem, sample.label.name) for sample in samples}
    if len(endings) != 1:  # no one pattern by which labels could be told from other files
        return
    (ending,) = endings
    images = {sample.image for sample in samples}
    for folder in sorted({label.parent for label in labels}):
        for path in sorted(folder.glob(f"*{ending}")):
            if path not in labels and path not in images and not path.name.startswith("."):
                yield Problem("label without image", f"{path} belongs to no image.")


def _beyond(stem: str, name: str) -> str:
    """What ``name`` has after the letters with which both begin: ``gtFine_labelIds.png`` or ``.png``."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(stem, name, strict=False)))
    return name[same:]
