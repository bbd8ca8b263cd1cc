from functools import partial

import cv2
import lightning as L
import numpy as np
import pytest
import torch
from tiny import train_tiny
from torch import nn
from torch.optim import SGD

import regseg
from regseg.data.datamodule import SegmentationDataModule
from regseg.data.datasets.cityscapes import SPEC
from regseg.errors import InputError
from regseg.training.callbacks import Pictures
from regseg.training.losses import OHEM
from regseg.training.schedules import constant, poly
from regseg.training.task import SegmentationTask, parameter_groups
from regseg.training.trainer import make_trainer


@pytest.fixture
def datamodule(streets_root):
    return SegmentationDataModule(
        "cityscapes", streets_root, batch_size=2, crop_size=[48, 64], short_side=[40, 80], num_workers=0
    )


def test_weight_decay_spares_batchnorm_alone():
    network = regseg.create_model(decoder="bisenet")  # the author's own selection, by name, misses one BatchNorm here
    decayed, spared = parameter_groups(network)
    in_batchnorm = {id(p) for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()}
    assert {id(p) for p in spared["params"]} == in_batchnorm and spared["weight_decay"] == 0
    assert len(decayed["params"]) + len(spared["params"]) == len(list(network.parameters()))
    biases = [p for name, p in network.named_parameters() if name.endswith("bias") and id(p) not in in_batchnorm]
    assert biases and all(any(p is q for q in decayed["params"]) for p in biases)
    assert "weight_decay" not in decayed  # the optimizer's own


def test_works_without_hydra_and_loads_from_its_checkpoint(datamodule, tmp_path):
    task = SegmentationTask(regseg.create_model(num_classes=19), SPEC, loss=OHEM(), optimizer=partial(SGD, lr=0.01))
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", default_root_dir=tmp_path, logger=False, enable_progress_bar=False,
        use_distributed_sampler=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(task, datamodule)
    assert 0 <= trainer.callback_metrics["val/miou"] <= 1
    path = tmp_path / "task.ckpt"
    trainer.save_checkpoint(path)

    content = torch.load(path, weights_only=True)  # plain values: nothing else loads so
    assert content["hyper_parameters"]["network"]["backbone"] == "dilation_1_14"
    again = SegmentationTask.load_from_checkpoint(path, weights_only=True)
    assert again.hparams == task.hparams and again.spec == SPEC
    for name, value in task.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    data_again = SegmentationDataModule.load_from_checkpoint(path, weights_only=True)
    assert data_again.hparams == datamodule.hparams


def test_learning_rate_of_every_iteration(datamodule, tmp_path):
    class Rates(L.Callback):
        seen: list[float] = []  # noqa: RUF012

        def on_train_batch_start(self, trainer, *_):
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    task = SegmentationTask(regseg.create_model(backbone=[[1]]), SPEC, scheduler=partial(poly, warmup_iters=3))
    trainer = make_trainer({"max_epochs": 2, "accelerator": "cpu"}, tmp_path, [Rates()])
    trainer.fit(task, datamodule)
    total = 2 * (9 // 2)  # the last short batch is dropped
    expected = [
        0.05 * (1 - it / total) ** 0.9 * ((0.1 + 0.9 * it / 3) if it < 3 else 1) for it in range(total)
    ]  # fmt: skip
    assert pytest.approx(expected) == Rates.seen


@pytest.mark.parametrize("precision", ["32-true", "16-true"])
def test_the_loss_of_an_evaluation(datamodule, tmp_path, precision):
    """It is the mean over the labelled pixels of all images at full size, and costs no change of the scores."""
    task = SegmentationTask(regseg.create_model(backbone=[[1]], num_classes=19), SPEC).eval()
    trainer = make_trainer({"accelerator": "cpu", "precision": precision}, tmp_path)
    (without,) = trainer.validate(task, datamodule, verbose=False)
    task.with_val_loss = True
    (scores,) = trainer.validate(task, datamodule, verbose=False)
    losses = []
    for batch in datamodule.val_dataloader():
        with torch.no_grad():
            logits = task(batch["image"]).float()
            pixels = nn.functional.cross_entropy(logits, batch["label"].long(), ignore_index=255, reduction="none")
        losses.append(pixels[batch["label"] != 255])
    assert scores.pop("val/loss") == pytest.approx(
        torch.cat(losses).mean().item(), rel=1e-5 if precision == "32-true" else 1e-3
    )
    assert scores == pytest.approx(without, nan_ok=True, abs=0)


def test_labels_are_scored_at_their_own_size(datamodule):
    datamodule.val_size = 32
    datamodule.setup("validate")
    task = SegmentationTask(regseg.create_model(num_classes=19), SPEC).eval()
    batch = next(iter(datamodule.val_dataloader()))
    assert batch["image"].shape == (1, 32, 64, 3) and batch["label"].shape == (1, 64, 128)
    with torch.inference_mode():
        assert task.validation_step(batch, 0)["prediction"].shape == (1, 64, 128)


def test_a_loss_that_is_not_finite_names_iteration_and_images(datamodule, tmp_path):
    class Poisoned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.calls = nn.Conv2d(3, 19, 1), 0

        def forward(self, x):
            self.calls += 1
            return self.conv(x) * (float("nan") if self.calls == 3 else 1)

    trainer = make_trainer({"max_epochs": 1, "accelerator": "cpu"}, tmp_path)
    with pytest.raises(InputError, match=r"nan at iteration 2 .*_leftImg8bit\.png, .*_leftImg8bit\.png; lower"):
        trainer.fit(SegmentationTask(Poisoned(), SPEC), datamodule)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"loss": "ohem"}, "loss='ohem' is not callable"),
        ({"optimizer": partial(SGD, lr="fast")}, r"optimizer\.lr='fast' is not a number"),
        ({"optimizer": partial(SGD, nesterv=True)}, r"optimizer\.nesterv does not exist; .*nesterov"),
        ({"scheduler": partial(poly, warmup_iters=-1)}, r"scheduler\.warmup_iters=-1 is not a number from 0"),
        (
            {"scheduler": partial(poly, warm=1)},
            r"scheduler\.warm does not exist; the options are warmup_iters",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_the_training(parts, words):
    with pytest.raises(InputError, match=words):
        SegmentationTask(nn.Identity(), SPEC, **parts)


@pytest.mark.parametrize(("has_instructions", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_half_precision_on_a_cpu_is_what_it_has_instructions_for(
    tmp_path, capsys, monkeypatch, has_instructions, precision
):
    monkeypatch.setattr("regseg.training.trainer.bfloat16_is_faster", lambda: has_instructions)
    trainer = make_trainer({"precision": "16-mixed", "accelerator": "cpu"}, tmp_path)
    assert trainer.precision == precision
    assert capsys.readouterr().out == f"16-mixed needs a GPU; using {precision} on the CPU.\n"


def test_an_unknown_trainer_argument_is_the_users_mistake(tmp_path):
    with pytest.raises(InputError, match="max_epoch"):
        make_trainer({"max_epoch": 3}, tmp_path)


def test_a_network_of_other_classes_is_refused():
    with pytest.raises(InputError, match=r"network has 2 classes, but cityscapes has 19; .* num_classes=19\.$"):
        SegmentationTask(regseg.create_model(backbone=[[1]], num_classes=2), SPEC)
    SegmentationTask(nn.Conv2d(3, 19, 1), SPEC)  # its number of classes is unknown


def test_what_is_no_network_is_refused():
    with pytest.raises(InputError, match=r"network is of the type str; give one of regseg\.create_model\.$"):
        SegmentationTask("regseg", SPEC)


@pytest.mark.parametrize(
    ("limits", "words"),
    [({"limit_val_batches": 0.1}, r"limit_val_batches=0\.1 is less than one of 3 "),
     ({"limit_train_batches": 0.2}, r"limit_train_batches=0\.2 is less than one of 4 ")],
)  # fmt: skip
def test_a_limit_below_one_batch_is_refused(limits, words, streets_root, tmp_path):
    with pytest.raises(InputError, match=words):
        train_tiny(streets_root, tmp_path, **limits)


def test_one_class_trains(tmp_path, capsys):
    """With the rest ignored: the loss is 0, nothing divides by it, and a note says so."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for number in range(count):
            for kind, shape in (("images", (32, 48, 3)), ("labels", (32, 48))):
                path = tmp_path / "data" / kind / split / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), rng.integers(0, 2, shape).astype(np.uint8))
    (tmp_path / "data" / "classes.yaml").write_text("classes: [{name: 'a [b]', id: 1}]\nignore: [0]\n")
    data = SegmentationDataModule(
        "folder", tmp_path / "data", batch_size=2, crop_size=[32, 32], short_side=[32, 32], num_workers=0
    )
    task = SegmentationTask(
        regseg.create_model(backbone=[[1]], num_classes=1), data.spec, loss=OHEM(), scheduler=constant
    )
    trainer = make_trainer({"max_epochs": 1, "accelerator": "cpu"}, tmp_path, [Pictures()])
    trainer.fit(task, data)
    assert trainer.callback_metrics["val/miou"] == 1 and task.scores.iou == {"a [b]": 1.0}
    data.setup("fit")  # again
    assert capsys.readouterr().out.count("a [b] is the only class of data, so the loss is 0") == 1


def test_testing_and_predicting_by_the_trainer(datamodule, tmp_path):
    """`Trainer.test` scores the split test; `Trainer.predict` labels the images of evaluation, or any other."""
    torch.manual_seed(0)
    task = SegmentationTask(regseg.create_model(backbone=[[1]], decoder="lraspp", num_classes=19), SPEC)
    trainer = make_trainer({"accelerator": "cpu"}, tmp_path)
    (tested,) = trainer.test(task, datamodule, verbose=False)
    test_split = SegmentationDataModule("cityscapes", datamodule.hparams.root, val_split="test", num_workers=0)
    (validated,) = trainer.validate(task, test_split, verbose=False)
    assert {name.replace("test/", "val/"): value for name, value in tested.items()} == pytest.approx(
        validated, nan_ok=True
    )

    predicted = trainer.predict(task, datamodule)
    assert len(predicted) == 3 and all(labels.dtype == torch.uint8 for labels in predicted)
    image = datamodule.val_set[1]["image"]
    with torch.no_grad():
        expected = task.eval().predict_labels(torch.from_numpy(image)[None], image.shape[:2])
    assert torch.equal(predicted[1].long(), expected.long())
    images = torch.utils.data.DataLoader([{"image": torch.from_numpy(image[:40].copy())}])  # without labels
    assert trainer.predict(task, images)[0].shape == (1, 40, image.shape[1])
