"""The benchmark of the loader: what it measures and shows."""

from regseg.benchmarks.loader import BASELINE, STAGES, PipelineTime, benchmark_loader, loader_table


def test_every_storage_and_pillow_are_timed(streets):
    times = benchmark_loader(streets, images=3, rounds=2)
    assert [time.name for time in times] == [BASELINE, "Pillow, half", "full", "half", "cache"]
    for time in times:
        assert set(time.stages) == set(STAGES) and all(value > 0 for value in time.stages.values())
        assert len(time.rates) == len(time.ratios) == 2
    assert times[0].ratios == [1.0, 1.0]


def test_the_table_shows_median_and_spread():
    table = loader_table([PipelineTime("ours", dict.fromkeys(STAGES, 1.0), [50.0, 70.0, 60.0], [2.0, 4.0, 3.0])])
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells == ["ours", "1.0", "1.0", "1.0", "1.0", "60.0", "3.0", "2.0-4.0"]
