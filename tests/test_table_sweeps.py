"""The paper's tables as sweeps: their rows and settings, and a smoke test of each."""

import functools
import re

import pytest
from commands import smoke
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from regseg.config import config_dir
from regseg.report import write
from regseg.reporting.published import author_runs, epochs_of, paper
from regseg.reporting.tables import read_run
from regseg.run_dir import read_summary, write_json, write_metrics
from regseg.run_names import register_resolvers

TABLES = {
    path.stem for path in (config_dir() / "experiment").glob("*.yaml") if "sweeper:" in path.read_text(encoding="utf-8")
}


SEEDS = {  # of every row, or of one; else 0
    "table3": [0, 1, 2, 3],
    "table7/epochs_1000": [1, 2, 3],
    "table8": [1, 2, 3, 4, 5],
    "table10": [1, 2, 3],
    "camvid_table4": [0, 1],
    "camvid_table5": [0, 1],
}


GROUPS = {"fig6": "table6"}  # an experiment whose runs are another one's


@functools.cache
def jobs(table):
    """What Hydra's sweeper makes of the experiment: one list of overrides per job."""
    register_resolvers()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={table}"], return_hydra_config=True)
    parser = OverridesParser.create()
    overrides = parser.parse_overrides([f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()])
    return BasicSweeper.split_arguments(overrides, max_batch_size=None)[0]


@functools.cache
def composed(table):
    """(row, composed configuration) of every job."""
    found, listed = [], jobs(table)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for job in listed:
            cfg = compose("train", overrides=[f"experiment={table}", *job])
            (row,) = [text.split("=")[1] for text in job if text.startswith("row=")] or [None]
            found.append(((row.split("/")[1] if row else cfg.run.name), cfg))
    return found


@pytest.mark.parametrize("table", sorted(TABLES & set(paper())))
def test_exactly_the_papers_rows_are_launched(table):
    launched = [(name, cfg.seed) for name, cfg in composed(table)]
    seeds = {row: SEEDS.get(f"{table}/{row}", SEEDS.get(table, [0])) for row in paper()[table]["rows"]}
    assert launched == [(row, seed) for row in seeds for seed in seeds[row]]


# By the headers of the author's logs: storage, short side, augmentation, epochs, loss, crop; of a table, or of a row.
ABLATION, FULL = ("half", [256, 1792], "jitter", 500), ("full", [400, 1600], "randaug", 500)


SETTINGS = {
    "table3": (*ABLATION, "cross_entropy", [768, 768]),
    "table4": (*ABLATION, "cross_entropy", [768, 768]),
    "table5": (*ABLATION, "cross_entropy", [768, 768]),
    "table6/resize_400_1600_crop_768x1536": ("half", [400, 1600], "jitter", 500, "cross_entropy", [768, 1536]),
    "table6/resize_400_1600_crop_1024x1024": ("half", [400, 1600], "jitter", 500, "cross_entropy", [1024, 1024]),
    "table6/resize_400_1600_crop_512x1024": ("half", [400, 1600], "jitter", 500, "cross_entropy", [512, 1024]),
    "table6/resize_400_1600_crop_768x768": ("half", [400, 1600], "jitter", 500, "cross_entropy", [768, 768]),
    "table6/resize_512_2048_crop_1024x1024": ("half", [512, 2048], "jitter", 500, "cross_entropy", [1024, 1024]),
    "table6/resize_512_2048_crop_768x768": ("half", [512, 2048], "jitter", 500, "cross_entropy", [768, 768]),
    "table6/resize_512_2048_crop_512x1024": ("half", [512, 2048], "jitter", 500, "cross_entropy", [512, 1024]),
    "table7/resize_512_2048": ("full", [512, 2048], "randaug", 500, "cross_entropy", [768, 768]),
    "table7/resize_400_1600": (*FULL, "cross_entropy", [768, 768]),
    "table7/ohem": (*FULL, "ohem", [768, 768]),
    "table7/epochs_1000": (*FULL[:3], 1000, "cross_entropy", [768, 768]),
    "table10": (*FULL[:3], 1000, "cross_entropy", [768, 768]),
}


LOSSES = {"regseg.training.losses.CrossEntropy": "cross_entropy", "regseg.training.losses.OHEM": "ohem"}
NETWORKS = {
    "table3": ("dilation_1_6_12_18", "sum_conv3x3"),
    "table6": ("dilation_1_6_12_18", "sum_conv3x3"),
    "table7": ("dilation_1_14", "regseg"),
}


@pytest.mark.parametrize("table", ["table3", "table4", "table5", "table6", "table7", "table10"])
def test_settings_are_those_of_the_authors_logs(table):
    for row, cfg in composed(table):
        data, found = cfg.data, (set(cfg.data.augment) - {"flip"}).pop()
        settings = (
            data.storage,
            data.short_side,
            found,
            cfg.trainer.max_epochs,
            LOSSES[cfg.loss._target_],
            data.crop_size,
        )
        assert settings == SETTINGS.get(f"{table}/{row}", SETTINGS.get(table)), row
        assert (data.dataset, data.batch_size, data.class_uniform) == ("cityscapes", 8, 0.5)
        assert (cfg.optimizer.lr, cfg.scheduler.warmup_iters) == (0.05, 3000)
        if table in NETWORKS:
            assert (cfg.model.backbone.name, cfg.model.decoder.name) == NETWORKS[table]


@pytest.mark.parametrize("table", ["table3", "table4", "table5", "table6", "table7", "table8", "table10"])
def test_the_epochs_of_every_record_of_the_author_are_evaluated(table):
    due = {}
    for row, cfg in composed(table):
        evaluation, epochs = instantiate(cfg.callbacks.evaluation), cfg.trainer.max_epochs
        due.setdefault(row, [epoch for epoch in range(epochs) if evaluation.is_due(epoch, epochs)])
    for row in paper()[table]["rows"]:
        records = author_runs(table, row)
        assert records and all(record.epochs == due[row] for record in records), row


@pytest.mark.parametrize("table", sorted({*TABLES, "sec4_2"} & set(paper())))
def test_runs_as_configured_are_comparable_with_the_paper(table, tmp_path):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        alone = [(row, compose("train", overrides=[f"experiment={table}"])) for row in paper()[table]["rows"]]
    for row, cfg in composed(table) if table in TABLES else alone:
        folder, epochs = tmp_path / f"{row}_seed{cfg.seed}", cfg.trainer.max_epochs
        folder.mkdir()
        config = {part: OmegaConf.to_container(cfg[part], resolve=True) for part in ("data", "trainer")}
        write_json(folder / "summary.json", {"status": "finished", "config": config | {"run": {"name": row}}})
        write_metrics(folder, [{"epoch": epochs - 1, "val/miou": 0.5, "val/miou_reduced": 0.5}])
        run = read_run(folder, GROUPS.get(table, table))
        assert (run.mismatch, run.problem) == ("", ""), row
        assert epochs_of(GROUPS.get(table, table), row) == epochs and config["data"]["val_size"] in (720, 1024)


def test_fig6_takes_the_two_runs_of_table_6():
    """Same folder and same settings: each of the two experiments skips runs that the other one has finished."""
    of_table6 = dict(composed("table6"))
    for row, cfg in composed("fig6"):
        assert cfg.run.group == "table6" and cfg.seed == of_table6[row].seed
        for section in ("model", "data", "loss", "optimizer", "scheduler", "trainer", "callbacks"):
            assert cfg[section] == of_table6[row][section]


def test_networks_of_the_ablations():
    assert {cfg.model.decoder.name for _, cfg in composed("table4")} == {"sum_conv3x3"}
    assert {cfg.model.backbone.name for _, cfg in composed("table5")} == {"dilation_1_12"}
    assert [cfg.model.name for _, cfg in composed("table10")] == 3 * ["ddrnet23"] + 3 * ["regseg"]
    fine_tuning = dict(composed("table8"))["regseg"]
    assert (fine_tuning.optimizer.lr, fine_tuning.data.batch_size, fine_tuning.trainer.max_epochs) == (0.005, 12, 200)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_runs_whole_and_is_reported(run_module, streets_root, streets_options, table, tmp_path):
    seeds = len(SEEDS.get(table, [0]))
    only_seeds = len(jobs(table)) == seeds  # then two of them, else one of each row
    seed = "seed=1,2" if only_seeds else "seed=1"
    result = smoke(run_module, streets_root, streets_options, table, seed, "trainer.max_epochs=1")
    assert result.returncode == 0, result.stderr
    folders = sorted((tmp_path / "runs" / GROUPS.get(table, table)).iterdir())
    rows = {re.sub(r"seed[=_]\d", "", " ".join(job)) for job in jobs(table)}
    assert len(folders) == (2 if only_seeds else len(rows))
    assert {read_summary(folder)["status"] for folder in folders} == {"finished"}
    if table == "fig6":
        for folder in folders:
            write_json(folder / "val_sizes.json", [{"val_size": 64, "metrics": {"val/miou": 0.1}}])
    text, pictures = write(table, tmp_path / "runs", tmp_path / "report")
    assert "not run" not in text and "running" not in text and len(pictures) >= (1 if table == "fig6" else 3)


def test_a_table_is_refused_without_a_sweep(run_module):
    result = run_module("regseg.train", "experiment=table4")
    assert result.returncode == 2 and "-m experiment=table4" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_fine_tuning_asks_for_its_weights(run_module):
    result = run_module("regseg.train", "-m", "experiment=table8", "seed=1")
    assert result.returncode == 1 and "weights=FILE" in result.stderr
