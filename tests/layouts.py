"""Tiny datasets in every layout that the project reads, and what every error message must be."""

import re
import threading

import cv2
import numpy as np

from regseg.data.datasets.camvid import SPEC as CAMVID

SIZE = (24, 32)
FRAMES = {  # CamVid: a few real frame names of each split
    "train": ("0001TP_006690", "0006R0_f00930", "0016E5_00390", "0016E5_08160"),
    "val": ("0016E5_07959", "0016E5_08159"),
    "test": ("0001TP_008550", "Seq05VD_f00000"),
}


def is_sentence(error, *words):
    """Whether the message is one sentence without a trace and contains the words."""
    message = str(error.value)
    assert "\n" not in message and message.endswith(("?" if "did you mean" in message else ".", ".")), message
    assert not re.search(r"\. [A-Z]", message), message
    for word in words:
        assert str(word) in message, message
    return True


def files(folder):
    """The files below a folder, as paths relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def pipeline_threads():
    """Number of threads that a prediction has left running."""
    return sum(thread.name.startswith("regseg-pipeline") for thread in threading.enumerate())


def write(path, array):
    """Write RGB, RGBA or grey pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGBA2BGRA if array.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    path.write_bytes(cv2.imencode(path.suffix.lower(), array)[1].tobytes())
    return path


def noise(seed, size=SIZE, top=256):
    return np.random.default_rng(seed).integers(0, top, (*size, 3), np.uint8)


def indices(seed, values, size=SIZE):
    return np.random.default_rng(seed).choice(np.array(values, np.uint8), size)


def write_cityscapes(root, counts=(("train", 5), ("val", 3), ("test", 1)), size=SIZE):
    for split, count in counts:
        for number in range(count):
            name = f"{split}/town{number % 2}/town{number % 2}_{number:06d}_000019"
            write(root / f"leftImg8bit/{name}_leftImg8bit.png", noise(number, size))
            write(root / f"gtFine/{name}_gtFine_labelIds.png", indices(number, range(34), size))
    return root


def write_camvid(root, shape):
    """One of the three published shapes: ``stills``, ``labels`` or ``annot``."""
    for split, frames in FRAMES.items():
        for number, frame in enumerate(frames):
            classes = np.arange(12 * 16).reshape(12, 16).repeat(2, 0).repeat(2, 1) % 12  # the 12th is ignored
            colors = np.array([*CAMVID.colors, (0, 0, 0)], np.uint8)
            values = np.array([*list(CAMVID.ids)[:11], 11], np.uint8)
            image, label = {
                "stills": (f"701_StillsRaw_full/{frame}.png", f"LabeledApproved_full/{frame}_L.png"),
                "flat": (f"{frame}.png", f"{frame}_L.png"),
                "labels": (f"{split}/{frame}.png", f"{split}_labels/{frame}_L.png"),
                "annot": (f"{split}/{frame}.png", f"{split}annot/{frame}.png"),
            }[shape]
            write(root / image, noise(number))
            write(root / label, values[classes] if shape == "annot" else colors[classes])
    return root


def write_folder(
    root, counts=(("train", 4), ("val", 2)), classes="classes: [{name: ground, id: 0}, {name: wall, id: 1}]"
):
    for split, count in counts:
        for number in range(count):
            write(root / f"images/{split}/{number}.png", noise(number))
            write(root / f"labels/{split}/{number}.png", indices(number, [0, 1, 255]))
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.yaml").write_text(classes)
    return root
