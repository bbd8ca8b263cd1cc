import io
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

import regseg
from regseg.data.datasets.cityscapes import SPEC
from regseg.data.datasets.spec import DatasetSpec
from regseg.system.console import plain_console
from regseg.training.metrics import Scores
from regseg.training.progress import ProgressLine, print_scores


def fake_trainer():
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.0123}])
    return SimpleNamespace(
        max_epochs=4, max_steps=-1, current_epoch=1, num_training_batches=5, world_size=1, is_global_zero=True,
        optimizers=[optimizer],
    )  # fmt: skip


def test_the_bar_shows_loss_learning_rate_speed_and_time_left():
    line = ProgressLine(refresh_seconds=0)
    written = io.StringIO()
    line.console = Console(file=written, force_terminal=True, width=120)
    trainer = fake_trainer()
    line.on_train_start(trainer, None)
    line.on_train_epoch_start(trainer, None)
    for batch in range(3):
        line.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.5)}, {"image": torch.zeros(8, 1)}, batch)
    line._bars.refresh()
    line.on_train_end(trainer, None)
    for text in ("epoch 2/4", "loss 1.500", "lr 0.0123", "images/s", "s left"):
        assert text in written.getvalue()


def test_the_first_losses_do_not_linger_in_the_bar():
    line, written = ProgressLine(refresh_seconds=0), io.StringIO()
    line.console = Console(file=written, force_terminal=True, width=120)
    trainer = fake_trainer()
    line.on_train_start(trainer, None)
    line.on_train_epoch_start(trainer, None)
    for batch, loss in enumerate((6.0, float("inf"), 2.0, float("nan"), 1.0)):  # a gradient scaler skips two steps
        line.on_train_batch_end(trainer, None, {"loss": torch.tensor(loss)}, {"image": torch.zeros(8, 1)}, batch)
    line._bars.refresh()
    line.on_train_end(trainer, None)
    assert "loss 3.000" in written.getvalue()


@pytest.mark.parametrize(("terminal", "ends"), [(True, "accuracy 95.12"), (False, " left")])
def test_the_line_of_an_evaluation_fits_80_columns_of_a_terminal(terminal, ends, monkeypatch):
    line, lines = ProgressLine(), []
    line.console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    monkeypatch.setattr(line, "_print", lines.append)
    metrics = {"train/loss": 0.123, "val/miou": 0.7512, "val/miou_reduced": 0.7711, "val/accuracy": 0.9512}
    trainer = fake_trainer()
    trainer.max_epochs, trainer.current_epoch, trainer.callback_metrics = 1000, 998, metrics
    line.on_train_start(trainer, None)
    line.on_train_epoch_start(trainer, None)
    line.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.5)}, {"image": torch.zeros(8, 1)}, 0)
    line.on_validation_end(trainer, None) if not terminal else setattr(line, "_evaluated", True)
    line.on_train_epoch_end(trainer, SimpleNamespace(spec=SPEC))
    line.on_train_end(trainer, None)
    assert lines[-1].endswith(ends) and "reduced 77.11" in lines[-1] and len(lines[-1]) <= (80 if terminal else 120)


def test_the_table_names_absent_and_excluded_classes():
    matrix = torch.zeros(19, 19, dtype=torch.int64)
    matrix[0, 0], matrix[14, 14] = 3, 1
    written = io.StringIO()
    print_scores(Scores.from_confusion(matrix, SPEC), SPEC.excluded, Console(file=written, width=80))
    text = written.getvalue()
    assert "truck (not in the reduced mean)" in text and "100.00" in text
    assert "Absent from labels and predictions, and not in the means: sidewalk, building" in text


NAMES = ("road [paved]", "kerb[/x]", "[bold]red[/bold]", ":car:", "a_very_long_name_" * 12, "Straße 道路", "\\[x]")


def shown(function, width):
    """What ``function`` prints on a console of that width, without line breaks and frames."""
    written = io.StringIO()
    function(plain_console(file=written, width=width, force_terminal=True, color_system=None))
    return "".join(written.getvalue().replace("│", "").split())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_class_names_are_printed_whole(width):
    spec = DatasetSpec("own", NAMES, ((0, 0, 0),) * len(NAMES))
    matrix = torch.eye(len(NAMES), dtype=torch.int64)
    for counts, where in ((matrix, "the table"), (matrix * 0, "the sentence below")):
        scores = Scores.from_confusion(counts, spec)
        text = shown(lambda console, scores=scores: print_scores(scores, (), console), width)
        for name in NAMES:
            # In the table, the IoU may stand between the parts of a name of several lines.
            text = text.replace("100.00", "").replace("absent", "")
            assert name.replace(" ", "") in text, where


def test_every_table_is_printed_on_the_plain_console():
    package = Path(regseg.__file__).parent
    using = {path.name for path in package.rglob("*.py") if re.search(r"\bConsole\(|import print\b", path.read_text())}
    assert using == {"console.py"}


def log_of(line, trainer, module, evaluated, batches=3):
    """What a log file gets in one epoch."""
    written = io.StringIO()
    line.console = Console(file=written, width=200)
    line.on_train_start(trainer, module)
    line.on_train_epoch_start(trainer, module)
    for batch in range(batches):
        line.on_train_batch_end(trainer, module, {"loss": torch.tensor(1.5)}, {"image": torch.zeros(8, 1)}, batch)
    if evaluated:
        line.on_validation_start(trainer, module)
        line.on_validation_end(trainer, module)
    line.on_train_epoch_end(trainer, module)
    return written.getvalue().splitlines()


METRICS = {"train/loss": 1.25, "val/miou": 0.5, "val/miou_reduced": 0.625, "val/accuracy": 0.75}


def test_a_log_gets_a_line_per_epoch():
    trainer, module = fake_trainer(), SimpleNamespace(spec=SPEC)
    trainer.callback_metrics, trainer.num_val_batches = METRICS, [3]
    (line,) = log_of(ProgressLine(), trainer, module, evaluated=False)
    assert line.startswith("epoch 2/4  loss 1.250  ") and "mIoU" not in line and "left" in line
    (line,) = log_of(ProgressLine(), trainer, module, evaluated=True)
    assert "mIoU 50.00  reduced 62.50  accuracy 75.00" in line
    trainer.current_epoch = 3
    whole = SimpleNamespace(spec=DatasetSpec("s", ("a",), ((0, 0, 0),), ids={0: 0}))
    (line,) = log_of(ProgressLine(), trainer, whole, evaluated=True)
    assert line.startswith("epoch 4/4") and "reduced" not in line  # nothing is excluded there


def test_a_long_epoch_leaves_lines_in_a_log():
    trainer, module = fake_trainer(), SimpleNamespace(spec=SPEC)
    trainer.callback_metrics = METRICS
    lines = log_of(ProgressLine(log_seconds=-1), trainer, module, evaluated=False)
    assert [line.split("  ")[1] for line in lines[:-1]] == [f"iteration {number}/5" for number in (1, 2, 3)]


def test_reduced_miou_is_shown_where_classes_are_excluded():
    matrix, written = torch.eye(19, dtype=torch.int64), io.StringIO()
    print_scores(Scores.from_confusion(matrix, SPEC), (), Console(file=written, width=80))
    assert "mIoU" in written.getvalue() and "reduced" not in written.getvalue()
