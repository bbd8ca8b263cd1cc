"""Commands as a user types them, and what a failed one must print."""

TRAIN, EVALUATE = "regseg.train", "regseg.evaluate"


RUN = "runs/streets_custom_dilations_regseg/run_seed0"


# The smallest network, and no worker processes: what is tested here is the program around them.
SMALL = "model.backbone.dilations=[[1]]"
TINY = ["trainer=smoke", SMALL]


def failed(result, *words):
    """Whether it ended with status 2 and one sentence that contains the words."""
    lines = result.stderr.strip().splitlines()
    assert result.returncode == 2, result.stderr
    assert len(lines) == 1 and lines[0].startswith("regseg: "), result.stderr
    for word in words:
        assert word in lines[0]
    return True


def ended(result, status, *words):
    """Whether a command ended with the status and nothing but sentences, the last of which contains the words."""
    errors = getattr(result, "stderr", None) or result.err
    lines = errors.strip().splitlines()
    assert result.returncode == status and lines and all(line.startswith("regseg: ") for line in lines), errors
    for word in words:
        assert word in lines[-1], errors
    return True


def smoke(run_module, streets_root, streets_options, table, *more, timeout=300):
    arguments = [f"experiment={table}", "trainer=smoke", *streets_options, f"data.root={streets_root}", *more]
    return run_module("regseg.train", "-m", *arguments, timeout=timeout)


def write_folder_dataset(root):
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(root / "images" / split / f"{number}.png"), rng.integers(0, 255, (64, 96, 3), np.uint8))
            cv2.imwrite(str(root / "labels" / split / f"{number}.png"), rng.integers(0, 3, (64, 96), np.uint8))
    (root / "classes.yaml").write_text(
        "classes: [{name: ground, id: 0}, {name: wall, id: 1}]\nignore: [2]\nexcluded: [wall]\n"
    )
