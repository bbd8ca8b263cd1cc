"""Finds all problems of a dataset in one pass."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.layout import (
    IMAGE_SUFFIXES,
    PARTS,
    DatasetLayout,
    Problem,
    Sample,
    check_split,
    list_samples,
    shared_start,
    split_of,
)
from regseg.data.datasets.spec import IGNORE_INDEX, DatasetSpec
from regseg.dataset_tools.file_check import Checked, check_pair
from regseg.errors import InputError, counted
from regseg.system.atomic import write_text
from regseg.system.console import progress, shown
from regseg.system.reading import file_status

SHOWN = 5  # problems of each kind that are printed; the file lists all of them


def check(datamodule: SegmentationDataModule, out: Path) -> None:
    """Check all files of all splits; print the problems and write them to ``out/problems.txt``.

    Args:
        datamodule: The dataset, before setup.
        out: The folder of ``problems.txt``.

    Raises:
        InputError: There are problems (notices do not count); the message counts them by kind.
    """
    needed = {*check_split(datamodule.train_split), *check_split(datamodule.val_split)}
    found, counts = find_problems(datamodule.dataset, datamodule.spec, datamodule.root, needed)
    unread = {problem.kind for problem in found}
    pairs = ", ".join(f"{number} in {split}" for split, number in counts.items())
    for split in PARTS:
        if split not in counts and _no_split(split) not in unread:
            print(f"There is no {split} split; training does not need one.")
    if found:
        _write(found, out)
        _print(found)
    else:
        (out / "problems.txt").unlink(missing_ok=True)  # of an earlier check
    problems = [problem for problem in found if not problem.notice]
    if not problems:
        listed = "1 notice is" if len(found) == 1 else f"{len(found)} notices are"
        notices = f" {listed} listed in {out / 'problems.txt'}." if found else ""
        print(f"No problems in {counted(sum(counts.values()), 'pair')} ({pairs}) of {shown(datamodule.root)}.{notices}")
        return
    kinds = Counter(problem.kind for problem in problems)
    listed = ", ".join(f"{number} x {kind}" for kind, number in kinds.most_common())
    raise InputError(
        f"{datamodule.root} has {counted(len(problems), 'problem')} ({listed}); see {out / 'problems.txt'}."
    )


def find_problems(
    dataset: DatasetLayout, spec: DatasetSpec, root: Path, needed: Collection[str]
) -> tuple[list[Problem], dict[str, int]]:
    """Return (problems, number of pairs per split).

    A split of ``needed`` that cannot be listed is one problem. Any other is a notice if ``root`` has a folder for it.
    """
    problems: list[Problem] = []
    splits: dict[str, list[Sample]] = {}
    for split in PARTS:
        try:
            splits[split] = list_samples(dataset, split, problems)
        except InputError as error:
            if split in needed or _has_folder(root, split):
                problems.append(Problem(_no_split(split), str(error), notice=split not in needed))
    pairs = [sample for samples in splits.values() for sample in samples]
    problems += labels_without_image(pairs)  # for all splits at once, because they may share a folder of labels
    problems += repeated_images(splits)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda sample: check_pair(sample, spec), pairs)
        checked = dict(zip(pairs, progress(results, len(pairs), "reading all images and labels"), strict=True))
    problems += [problem for result in checked.values() for problem in result.problems]
    of_splits = {split: [checked[sample] for sample in samples] for split, samples in splits.items()}
    problems += [*all_ignored(of_splits), *missing_classes(of_splits, spec)]
    return problems, {split: len(samples) for split, samples in splits.items()}


def _no_split(split: str) -> str:
    """Return the kind of the problem that a split cannot be listed."""
    return f"no split {split}"


def _has_folder(root: Path, split: str) -> bool:
    """Return whether a folder is named like the split, as in ``<root>/Test`` or ``<root>/images/test``."""
    return any(
        split_of(path.name) == split and path.is_dir() for pattern in ("*", "*/*") for path in root.glob(pattern)
    )


def labels_without_image(samples: Iterable[Sample]) -> Iterator[Problem]:
    """Yield files that are named like labels, in the folders of labels, but belong to no image."""
    known = {path for sample in samples for path in sample}
    endings = {_beyond(sample.image.stem, sample.label.name) for sample in samples}
    if len(endings) != 1:  # no common pattern that distinguishes labels from other files
        return
    (ending,) = endings
    for folder, photographs in sorted({sample.label.parent: sample.image.parent for sample in samples}.items()):
        unread = {path.stem: path for path in _files(photographs) if path.suffix.lower() not in IMAGE_SUFFIXES}
        for path in _files(folder):
            if path.name.endswith(ending) and path not in known and not path.name.startswith("."):
                other = unread.get(path.name.removesuffix(ending))  # such as HEIC
                hint = f" (convert {other} to JPEG or PNG, since {other.suffix} files are not read)" if other else ""
                yield Problem("label without image", f"{path} has no image; add it or remove the label{hint}.")


def _files(folder: Path) -> list[Path]:
    """List a folder; empty if it is missing or unreadable, which is reported when its files are read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def missing_classes(splits: Mapping[str, list[Checked]], spec: DatasetSpec) -> Iterator[Problem]:
    """Yield notices of the classes without a pixel in train or val, which cannot be learned or measured."""
    results = {"train": "it cannot be learned", "val": "its IoU cannot be measured"}
    for split, effect in results.items():
        checked = splits.get(split, [])
        found = frozenset[int]().union(*(result.classes for result in checked))
        lacking = [name for index, name in enumerate(spec.classes) if index not in found] if found else []
        # A binary mask of 0 and 255 whose classes have the ids 0 and 1.
        binary = len(found) == 1 and spec.ids.get(255) == IGNORE_INDEX and any(result.ignored for result in checked)
        hint = "; the value 255 is ignored unless it is the id of a class" if binary else ""
        for name in lacking:
            yield Problem(
                "class without pixels",
                f"No label of the split {split} contains {name}, so {effect}{hint}.",
                notice=True,
            )


def repeated_images(splits: Mapping[str, Iterable[Sample]]) -> Iterator[Problem]:
    """Yield images that are the same file as an earlier one, in the same split or in another one."""
    first: dict[tuple[int, int], tuple[str, Path]] = {}
    for split, samples in splits.items():
        for sample in samples:
            try:
                status = file_status(sample.image)
            except InputError:
                continue  # reported when it is read
            if status.st_ino == 0:  # this file system has no inode numbers
                continue
            other, image = first.setdefault((status.st_dev, status.st_ino), (split, sample.image))
            if other != split:
                yield Problem(
                    "image in several splits",
                    f"{sample.image} of {split} is the same file as {image} of {other}; remove one of them, because "
                    "an evaluation must not see training images.",
                )
            elif image != sample.image:
                yield Problem(
                    "image twice",
                    f"{sample.image} is the same file as {image} in the split {split}; remove one of them.",
                )


def all_ignored(splits: Mapping[str, list[Checked]]) -> Iterator[Problem]:
    """Yield splits without any labelled pixel; a notice for test, whose published labels are often empty."""
    for split, results in splits.items():
        if results and not any(result.classes for result in results) and any(result.readable for result in results):
            yield Problem(
                "nothing labelled",
                f"Every pixel in the split {split} is ignored; check the ids, the colours and `ignore` of the classes.",
                notice=split == "test",
            )


def _write(found: list[Problem], out: Path) -> None:
    lines = (f"{'notice: ' if problem.notice else ''}{problem.kind}: {problem.sentence}\n" for problem in found)
    write_text(out / "problems.txt", "".join(lines))


def _print(found: list[Problem]) -> None:
    kinds = Counter((problem.notice, problem.kind) for problem in found)
    for (notice, kind), number in kinds.most_common():
        print(f"{number} x {kind}{' (notice)' if notice else ''}")
        for problem in [problem for problem in found if problem.kind == kind][:SHOWN]:
            print(f"    {problem.sentence}")


def _beyond(stem: str, name: str) -> str:
    """Return ``name`` without the prefix that it shares with ``stem``: ``gtFine_labelIds.png`` or ``.png``."""
    return name[shared_start(stem, name) :]
