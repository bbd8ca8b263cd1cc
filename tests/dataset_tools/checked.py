"""What the tests of `prepare what=check` share: a small dataset and the problems found in it."""

from PIL import Image

from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.folder import Folder
from regseg.dataset_tools.check import check, find_problems

CLASSES = (
    "classes: [{name: ground, id: 0, color: [10, 20, 30]}, {name: wall, id: 1, color: [40, 50, 60]}]\nignore: [255]"
)


def found(root):
    dataset = Folder(root)
    return find_problems(dataset, dataset.spec, root, ("train", "val"))[0]


def only(root, kind, *words, notice=False):
    """Whether there is one problem, of that kind and with those words."""
    (problem,) = found(root)
    assert problem.kind == kind and problem.notice == notice, problem
    assert all(str(word) in problem.sentence for word in words), problem
    assert problem.sentence.endswith(".") and "\n" not in problem.sentence
    return True


def jpeg(path, pixels, orientation=None, quality=95):
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, "JPEG", exif=exif, quality=quality)


def check_mine(root, out):
    return check(SegmentationDataModule("folder", root, crop_size=(8, 8), short_side=(8, 8)), out)
