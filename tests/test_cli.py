"""The entry points as a user meets them: help, mistakes and interruptions."""

import json
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest
from commands import EVALUATE, RUN, TINY, TRAIN, failed

from regseg import cli
from regseg.cli import _end_within
from regseg.errors import InputError
from regseg.system import processes


@pytest.mark.parametrize("module", [TRAIN, EVALUATE, "regseg.describe"])
def test_help_and_cfg_are_quick(module, tmp_path):
    """Under 2 s of processor time, whatever else the machine does; the import of torch alone takes as long."""
    for argument in (["--help"], ["--cfg", "job"]):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", module, *argument]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert result.returncode == 0 and result.stdout, result.stderr
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


@pytest.mark.parametrize("module", ["regseg", "regseg.train"])
def test_help_imports_nothing_heavy(module):
    code = (
        "import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'lightning', 'albumentations', 'wandb', 'cv2') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "HEAVY []" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data=cityscapes"], ["datasets/cityscapes", "leftImg8bit", "data.root"]),
        (["data=nowhere"], ["nowhere", "camvid_360", "streets"]),
        (["model/backbone=dilation_1_99"], ["dilation_1_99", "dilation_1_14"]),
        (["row=nothing"], ["row/nothing does not exist", "table10/regseg, table6/", "table7/epochs_1000/seed_1"]),
        (
            ["row=table10/rezseg"],
            ["row/table10/rezseg does not exist; choose one of table10/ddrnet23, table10/reg"],
        ),
        (["data.crop_size=[64,64"], ["lacks ] at its end"]),
        (["a%b=1"], ["a%b cannot be the name of an option; --help"]),
        (["data.crop=[1,2]"], ["data.crop", "crop_size"]),
        (["los=ohem"], ["los", "loss"]),
        (["data=/path/to/mine"], ["data=/path/to/mine is a path; type data.root=/path/to/mine, and data=NAME"]),
        (["model/decoders=lraspp"], ["There is no group model/decoders; did you mean model/decoder?"]),
        (["backbone=dilation_1_6"], ["did you mean model/backbone?"]),
        (["data.crop_size=64,64"], ["type 'data.crop_size=[64,64]' for a list"]),
        (["augment=null"], ["augment cannot be null; choose one of flip"]),
        (["model=ddrnet23", "model/backbone=dilation_1_6"], ["ddrnet23", "dilation_1_6"]),
        (["data.train_split=training"], ["training", "trainval"]),
        (["data.crop_size=[1,2,3]"], ["data.crop_size"]),
        (["data.crop_size=768"], ["data.crop_size"]),
        (["data.batch_size=10", "trainer=default"], ["9 images", "data.batch_size"]),
        (
            ["trainer.max_epoch=2"],
            ["max_epoch does not exist", "did you mean trainer.max_epochs?"],
        ),
        (["optimizer.warmup_iters=2"], ["optimizer.warmup_iters was renamed; use scheduler.warmup_iters"]),
        (["loss._target_=nowhere.Loss"], ["nowhere"]),
        (["++optimizer.nesterv=true"], ["optimizer.nesterv", "nesterov"]),
        (["+data.crop=3"], ["crop"]),
        (["data.batch_size=big"], ["data.batch_size", "big"]),
        (["loss=ohem", "loss.min_share=2"], ["loss.min_share"]),
        (["+callbacks.evaluation.evry=3"], ["evry"]),
        (["callbacks.pictures=true"], ["callbacks.pictures.count", "callbacks.pictures=null"]),
        (["weights=missing.pth"], ["missing.pth"]),
        (["resume=yesterday"], ["resume=yesterday", "resume=last"]),
        (["optimizer.lr=fast"], ["optimizer.lr", "fast"]),
        (["overwrite=maybe"], ["overwrite=maybe", "true"]),
        (["hydra/launcher=parallel"], ["hydra/launcher=parallel", "-m"]),
    ],
)
def test_mistakes_get_one_sentence(run_module, streets_root, streets_options, tmp_path, arguments, words):
    data = [] if any(a.startswith("data=") for a in arguments) else [*streets_options, f"data.root={streets_root}"]
    assert failed(run_module(TRAIN, "trainer=smoke", *data, *arguments), *words)
    assert not list(tmp_path.iterdir())  # no folder of a run that never began


@pytest.mark.parametrize(
    "arguments",
    [
        [TRAIN, "trainer=smoke", "model=regseg,ddrnet23", "data=folder", "data.root=nowhere"],
        [TRAIN, "trainer=smoke", "data=folder", "data.root=nowhere", "seed=0,1", "hydra/launcher=parallel"],
        [TRAIN, "trainer=smoke", "optimizer=nonsense,sgd"],
        ["regseg.evaluate", "weights=a.ckpt,b.ckpt"],
    ],
)
def test_a_sweep_that_never_began_leaves_no_folder(run_module, tmp_path, arguments):
    result = run_module(arguments[0], "-m", *arguments[1:])
    assert result.returncode in (1, 2) and "Traceback" not in result.stderr, result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["seed=range(3,1)", "data.root=glob(fold*)"])
def test_a_sweep_without_runs_has_not_done_its_work(run_module, tmp_path, option):
    (tmp_path / "fold0").mkdir()
    assert failed(run_module(TRAIN, "-m", *TINY, option), "The sweep has no runs")


@pytest.mark.parametrize(("count", "rank"), [("WORLD_SIZE", "RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID")])
def test_a_sweep_is_not_started_by_each_process_of_torchrun_or_srun(monkeypatch, capsys, count, rank):
    monkeypatch.setenv(count, "2")
    with pytest.raises(InputError, match=f"started as 2 processes .{count}.; start it without"):
        cli._check_started_once()
    waited: list[float] = []
    monkeypatch.setenv(rank, "1")
    monkeypatch.setattr(time, "sleep", waited.append)
    monkeypatch.setattr(processes, "end", sys.exit)  # without its effects on the process of the tests
    with pytest.raises(SystemExit) as ended:
        cli._check_started_once()
    assert waited == [processes.WAIT_FOR_RANKS]
    assert ended.value.code == 2 and capsys.readouterr().err == ""  # the first one prints


def test_a_bad_file_met_by_a_worker_gets_one_sentence(run_module, streets_root, tmp_path):
    root = tmp_path / "streets"
    shutil.copytree(streets_root, root)
    _, *others = sorted(root.glob("gtFine/train/*/*.png"), key=lambda path: path.name)
    for label in others:  # the first is read before the training, to see whether there is anything to learn from
        label.write_bytes(b"no image")
    result = run_module(
        TRAIN, "data=streets", "data.dataset=cityscapes", f"data.root={root}", "data.num_workers=2",
        "data.batch_size=1",
    )  # fmt: skip
    assert failed(result, "labelIds.png", "not a readable")
    summary = (tmp_path / "runs/streets_dilation_1_14_regseg/run_seed0/summary.json").read_text()
    assert json.loads(summary)["status"] == "failed" and "Traceback" not in summary


def test_interrupted_by_a_person(run_module, streets_root, streets_options, tmp_path):
    command = [
        sys.executable, "-m", TRAIN, "trainer=smoke", *streets_options, f"data.root={streets_root}",
        "model.backbone.dilations=[[1]]", "trainer.max_epochs=2", "callbacks.stall={_target_: tests_stall.Stall}",
    ]  # fmt: skip
    (tmp_path / "tests_stall.py").write_text(
        "import time, lightning\n"
        "class Stall(lightning.Callback):\n"
        "    def on_train_epoch_start(self, trainer, module):\n"
        "        if trainer.current_epoch == 1: print('STALL', flush=True); time.sleep(60)\n"
    )
    command[-1] = "+" + command[-1]
    # Where the tests run in a shell's background, they and what they start ignore the signal otherwise.
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    for line in process.stdout:
        if "STALL" in line:
            break
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "resume=last" in output
    sentence, command_line = errors.splitlines()  # and nothing else that any library printed, from start to exit
    assert sentence.startswith("regseg: interrupted") and command_line.endswith(" resume=last")
    summary = json.loads((tmp_path / RUN / "summary.json").read_text())
    assert summary["status"] == "interrupted" and summary["last"]["epoch"] == 0

    again = run_module(TRAIN, *command[3:-1])
    assert failed(again, "interrupted", "resume=last")
    resumed = run_module(TRAIN, *command[3:-1], "resume=last")
    assert resumed.returncode == 0, resumed.stderr
    assert len((tmp_path / RUN / "metrics.csv").read_text().splitlines()) == 3


def test_interrupted_outside_of_training(run_module, tmp_path):
    (tmp_path / "tests_key.py").write_text("class Pressed:\n    def __init__(self, root): raise KeyboardInterrupt\n")
    result = run_module("regseg.prepare", "what=check", "data=folder", "data.dataset=tests_key.Pressed", "data.root=.")
    assert (result.returncode, result.stderr) == (130, "regseg: interrupted.\n")


def test_an_end_is_not_a_failure():
    """When a job is ended, loader workers end too, and the clean-up raises an error of its own."""
    try:
        try:
            raise SystemExit(-1)
        finally:
            raise RuntimeError("DataLoader worker is killed by signal: Terminated.")
    except RuntimeError as error:
        assert isinstance(_end_within(error), SystemExit)
    assert _end_within(ValueError("of its own")) is None
