"""Each choice of the groups loss, optimizer, scheduler, callbacks and logger takes real steps."""

import math
from functools import partial

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from tiny import train_tiny

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.error_messages import explain
from regseg.errors import InputError
from regseg.models.factory import load_model
from regseg.train import check_groups, check_options_of_run, nodes_of
from regseg.training.schedules import constant
from regseg.training.task import SegmentationTask


def parts_of(cfg):
    return {name: instantiate(cfg[name], _convert_="all") for name in ("loss", "optimizer", "scheduler")}


@pytest.mark.parametrize(
    ("choice", "rates"),
    [
        ("optimizer=sgd", [0.05, 0.05 * 0.875**0.9]),
        ("optimizer=adamw", [0.001, 0.001 * 0.875**0.9]),
        ("scheduler=poly", [0.05, 0.05 * 0.875**0.9]),
        ("scheduler=cosine", [0.05, 0.025 * (1 + math.cos(math.pi / 8))]),
        ("scheduler=constant", [0.05, 0.05]),
        ("loss=ohem", [0.05, 0.05 * 0.875**0.9]),
        ("optimizer._target_=torch.optim.RMSprop", [0.05, 0.05 * 0.875**0.9]),
        ("loss._target_=torch.nn.CrossEntropyLoss", [0.05, 0.05 * 0.875**0.9]),
    ],
)
def test_every_choice_trains(compose, streets_root, tmp_path, choice, rates):
    more = ["+loss.ignore_index=255"] if "CrossEntropyLoss" in choice else []
    cfg = compose(choice, "scheduler.warmup_iters=0", *more)
    task, trainer = train_tiny(streets_root, tmp_path, parts=parts_of(cfg), max_steps=8)
    assert trainer.global_step == 8 and math.isfinite(trainer.callback_metrics["train/loss"])
    seen = [trainer.lr_scheduler_configs[0].scheduler.lr_lambdas[0](iteration) for iteration in (0, 1)]
    lr = cfg.optimizer.lr
    assert [lr * factor for factor in seen] == pytest.approx(rates)
    assert type(trainer.optimizers[0]).__name__ == cfg.optimizer._target_.rpartition(".")[2]
    assert type(task.loss).__name__ == cfg.loss._target_.rpartition(".")[2]


def test_a_scheduler_of_torch(compose, streets_root, tmp_path):
    """It is called as ours are: with the optimizer and the number of iterations."""
    cfg = compose("scheduler._target_=torch.optim.lr_scheduler.PolynomialLR", "~scheduler.warmup_iters")
    _, trainer = train_tiny(streets_root, tmp_path, parts=parts_of(cfg))
    assert trainer.lr_scheduler_configs[0].scheduler.total_iters == 8
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0


def test_a_loss_of_a_users_own(compose, streets_root, tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(
        "from torch.nn import functional as F\n"
        "def weighted(logits, labels, weight):\n"
        "    return weight * F.cross_entropy(logits, labels, ignore_index=255)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cfg = compose("loss._target_=my_losses.weighted", "+loss._partial_=true", "+loss.weight=0.5")
    task, _ = train_tiny(streets_root, tmp_path, parts={"loss": parts_of(cfg)["loss"]})
    content = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert task.loss.keywords == {"weight": 0.5} and "my_losses" not in str(content)


def test_no_checkpoint_names_what_could_be_imported(compose, streets_root, tmp_path):
    cfg = compose("loss=ohem", "optimizer=adamw", "scheduler=cosine", "callbacks=[default,ema]")
    network = regseg.create_model(backbone=[[1]], num_classes=19)
    ema = [instantiate(cfg.callbacks.ema)]
    train_tiny(streets_root, tmp_path, network=network, parts=parts_of(cfg), callbacks=ema)
    for name in ("last", "best"):
        content = torch.load(tmp_path / "checkpoints" / f"{name}.ckpt", weights_only=True)
        assert set(content["hyper_parameters"]) == {"network", "spec"}
        others = {key: value for key, value in content.items() if "state" not in key}
        assert not any(f"{package}." in str(others) for package in ("regseg", "torch", "lightning", "_target_"))


def test_a_checkpoint_of_an_earlier_version_loads(streets_root, tmp_path):
    """It contains options of loss and optimizer, which are not part of what is evaluated."""
    network = regseg.create_model(backbone=[[1]], num_classes=19)
    train_tiny(streets_root, tmp_path, network=network, max_epochs=1)
    path = tmp_path / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    rates = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "warmup_iters": 3000, "power": 0.9}
    content["hyper_parameters"] |= {"loss": "os.system", "loss_options": {"threshold": 0.3}, **rates}
    torch.save(content, path)
    task = SegmentationTask.load_from_checkpoint(path, scheduler=constant)
    for name, value in load_model(path).state_dict().items():
        assert torch.equal(task.network.state_dict()[name], value)


def test_early_stopping_ends_the_training(compose, streets_root, tmp_path):
    cfg = compose("+callbacks@callbacks.early_stopping=early_stopping", "callbacks.early_stopping.patience=1")
    parts = {"optimizer": partial(torch.optim.SGD, lr=0.0)}  # no evaluation is better than the first
    callbacks = [instantiate(cfg.callbacks.early_stopping)]
    _, trainer = train_tiny(streets_root, tmp_path, parts=parts, callbacks=callbacks, every=1, max_epochs=9)
    assert trainer.current_epoch < 9 and trainer.should_stop


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        (["logger=csv"], []),
        (["logger=tensorboard"], ["TensorBoardLogger"]),
        (
            ["logger=csv", "+logger@logger.board=tensorboard", "+logger@logger.wandb=wandb"],
            ["TensorBoardLogger", "WandbRun"],
        ),
        (["logger=[csv,tensorboard]"], ["TensorBoardLogger"]),
        (["logger=[tensorboard,mlflow,wandb]"], ["TensorBoardLogger", "MLFlowLogger", "WandbRun"]),
    ],
)
def test_the_loggers_of_a_run(compose, choices, expected):
    found = [node._target_.rpartition(".")[2] for node in nodes_of(compose(*choices).logger)]
    assert found == expected


def test_tensorboard_gets_every_metric(run_module, streets_root, streets_options, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    arguments = [*streets_options, f"data.root={streets_root}", "trainer=smoke", "model.backbone.dilations=[[1]]"]
    arguments += ["logger=[csv,tensorboard]", "hydra.run.dir=run", "trainer.log_every_n_steps=1"]
    arguments += ["+callbacks@callbacks.ema=ema", "trainer.gradient_clip_val=5", "optimizer=adamw"]
    result = run_module("regseg.train", *arguments)
    assert result.returncode == 0, result.stderr
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"train/loss", "train/loss_step", "lr", "train/images_per_s", "val/miou", "val/iou/road"} <= set(
        events.Tags()["scalars"]
    )
    assert (tmp_path / "run" / "tensorboard" / "hparams.yaml").read_text().count("torch.optim.AdamW") == 1


def test_mlflow_gets_every_metric(run_module, streets_root, streets_options, tmp_path):
    mlflow = pytest.importorskip(
        "mlflow", reason="needs the extra mlflow, which is too large for the tests' environment"
    )
    pytest.importorskip("sqlalchemy", reason="needs the extra mlflow")
    arguments = [*streets_options, f"data.root={streets_root}", "trainer=smoke", "model.backbone.dilations=[[1]]"]
    result = run_module("regseg.train", *arguments, "logger=mlflow", "trainer.log_every_n_steps=1")
    assert result.returncode == 0, result.stderr
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name.startswith("streets_")]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run_seed0" and run.info.status == "FINISHED"
    assert {"train/loss", "train/loss_step", "lr", "val/miou", "val/iou/traffic light"} <= set(run.data.metrics)
    assert run.data.params["optimizer/lr"] == "0.05" and run.data.params["network/gflops"]


def test_a_logger_that_is_not_installed_names_its_extra():
    for target, extra in (("MLFlowLogger", "mlflow"), ("TensorBoardLogger", "tensorboard")):
        error = InstantiationException(
            f"Error in call to target 'lightning.pytorch.loggers.x.{target}':\nModuleNotFound…"
        )
        error.__cause__ = ModuleNotFoundError("Requirement not met")
        assert explain(error) == (2, f"{target} needs a package that is not installed: pip install 'regseg[{extra}]'.")


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        (["callbacks=ema"], r"callbacks of `default`.* are missing; type 'callbacks=\[default,NAME\]'"),
        (["data.augment=null"], r"data\.augment=null would still flip images; use data\.augment\.flip=0"),
        (["+callbacks.mine=1"], r"callbacks\.mine must be a callback with a _target_; callbacks\.mine=null"),
        (["+callbacks.mine={a:1}"], r"callbacks\.mine must be a callback"),
        (["+logger.mine=1"], r"logger\.mine must be a logger with a _target_; logger\.mine=null removes it"),
        (["~trainer"], "trainer=null contains no options; choose a file of the group trainer"),
        (["~callbacks"], "callbacks of `default`"),
    ],
)
def test_groups_that_would_silently_train_differently_are_refused(compose, choices, sentence):
    with pytest.raises(InputError, match=sentence):
        check_groups(compose(*choices))


def test_the_parts_of_weights_are_checked_without_weights_too(compose):
    with pytest.raises(InputError, match="weights_part=decoder does not exist; choose one of all, backbone"):
        check_options_of_run(compose("weights_part=decoder", "run.group=a", "run.name=b"))


def test_several_files_of_callbacks(compose):
    """Those of `default` stay, and an experiment's values count."""
    cfg = compose("callbacks=[default,ema,early_stopping]", "callbacks.ema.decay=0.5", "experiment=camvid", "logger=[]")
    check_groups(cfg)
    assert (cfg.callbacks.ema.decay, cfg.callbacks.early_stopping.mode) == (0.5, "max")
    assert cfg.callbacks.evaluation == compose("experiment=camvid").callbacks.evaluation


def test_a_node_without_a_target_is_refused(compose):
    loss = parts_of(compose("~loss._target_"))["loss"]
    with pytest.raises(InputError, match=r"loss=.* is not callable; .*_target_"):
        SegmentationTask(torch.nn.Identity(), SPEC, loss=loss)
