"""Every problem of a dataset in one pass, instead of the first alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

from regseg.data.cache_dir import progress
from regseg.data.datasets.layout import Problem, Sample
from regseg.data.datasets.spec import DatasetSpec
from regseg.dataset_tools.file_check import Checked, check_pair
from regseg.errors import InputError
from regseg.system.reading import is_file

SPLITS = ("train", "val", "test")
SHOWN = 5  # problems of a kind on the console; all of them are in the file


def check(datamodule: Any, out: Path) -> None:
    """Print and write to ``out/problems.txt`` what is wrong with any file of any split.

    Raises:
        InputError: there are problems; says how many of which kind. Notices alone are no reason.
    """
    found, counts = find_problems(datamodule.dataset, datamodule.spec)
    pairs = ", ".join(f"{number} in {split}" for split, number in counts.items())
    if "test" not in counts:
        print("without a split test, which training does not need")
    if found:
        _write(found, out)
        _print(found)
    problems = [problem for problem in found if not problem.notice]
    if not problems:
        notices = f", {len(found)} notices in {out / 'problems.txt'}" if found else ""
        print(f"no problem in {sum(counts.values())} pairs ({pairs}) of {datamodule.hparams.root}{notices}")
        return
    kinds = Counter(problem.kind for problem in problems)
    listed = ", ".join(f"{number} x {kind}" for kind, number in kinds.most_common())
    total = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    raise InputError(f"{datamodule.hparams.root} has {total} ({listed}), all listed in {out / 'problems.txt'}.")


def find_problems(dataset: Any, spec: DatasetSpec) -> tuple[list[Problem], dict[str, int]]:
    """(problems, pairs looked at in each split); a split that cannot be listed at all is one problem."""
    problems: list[Problem] = []
    splits: dict[str, list[Sample]] = {}
    for split in SPLITS:
        try:
            splits[split] = dataset.samples(split, problems)
        except InputError as error:
            if split != "test":
                problems.append(Problem(f"no split {split}", str(error)))
            continue
        problems += labels_without_image(splits[split])
    problems += repeated_images(splits)
    pairs = [sample for samples in splits.values() for sample in samples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda sample: check_pair(sample, spec), pairs)
        checked = dict(zip(pairs, progress(results, len(pairs), "reading every image and label"), strict=True))
    problems += [problem for result in checked.values() for problem in result.problems]
    problems += all_ignored({split: [checked[sample] for sample in samples] for split, samples in splits.items()})
    return problems, {split: len(samples) for split, samples in splits.items()}


def labels_without_image(samples: Iterable[Sample]) -> Iterator[Problem]:
    """Files that are named as the labels are, in their folders, but belong to no image."""
    labels = {sample.label for sample in samples}
    endings = {_beyond(sample.image.stem, sample.label.name) for sample in samples}
    if len(endings) != 1:  # no one pattern by which labels could be told from other files
        return
    (ending,) = endings
    images = {sample.image for sample in samples}
    for folder in sorted({label.parent for label in labels}):
        for path in sorted(folder.iterdir()):
            if path.name.endswith(ending) and path not in labels | images and not path.name.startswith("."):
                yield Problem("label without image", f"{path} belongs to no image.")


def repeated_images(splits: Mapping[str, Iterable[Sample]]) -> Iterator[Problem]:
    """Links by which one image file counts several times, within a split or in several of them."""
    first: dict[tuple[int, int], tuple[str, Path]] = {}
    for split, samples in splits.items():
        for sample in samples:
            if not is_file(sample.image):
                continue  # its reading tells
            status = os.stat(sample.image)
            if status.st_ino == 0:  # a file system without such numbers
                continue
            other, image = first.setdefault((status.st_dev, status.st_ino), (split, sample.image))
            if other != split:
                yield Problem(
                    "image in several splits",
                    f"{sample.image} of {split} is the same file as {image} of {other}; an evaluation must not see "
                    "training images.",
                )
            elif image != sample.image:
                yield Problem("image twice", f"{sample.image} is the same file as {image}; it counts twice in {split}.")


def all_ignored(splits: Mapping[str, list[Checked]]) -> Iterator[Problem]:
    """Splits without any labelled pixel; for test it is a notice, as its published labels are often empty."""
    for split, results in splits.items():
        if results and not any(result.labelled for result in results) and any(result.readable for result in results):
            yield Problem(
                "nothing labelled",
                f"Every pixel of every label in the split {split} is ignored; check the ids, the colours and `ignore` "
                "in the dataset's classes.",
                notice=split == "test",
            )


def _write(found: list[Problem], out: Path) -> None:
    lines = (f"{'notice: ' * problem.notice}{problem.kind}: {problem.sentence}\n" for problem in found)
    out.mkdir(parents=True, exist_ok=True)
    # Names of files come back as the bytes that they are.
    (out / "problems.txt").write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def _print(found: list[Problem]) -> None:
    kinds = Counter((problem.notice, problem.kind) for problem in found)
    for (notice, kind), number in kinds.most_common():
        print(f"{number} x {kind}{' (notice)' * notice}")
        for problem in [problem for problem in found if problem.kind == kind][:SHOWN]:
            print(f"    {problem.sentence}")


def _beyond(stem: str, name: str) -> str:
    """What ``name`` has after the letters with which both begin: ``gtFine_labelIds.png`` or ``.png``."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(stem, name, strict=False)))
    return name[same:]
