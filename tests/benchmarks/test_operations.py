import cv2
import numpy as np
from rich.console import Console
from tables import fits

from regseg.benchmarks.operations import OperationTime, benchmark_operations, operations_table


def test_seven_operations_are_timed():
    threads = cv2.getNumThreads()
    times = benchmark_operations(np.random.default_rng(0).integers(0, 256, (16, 20, 3), np.uint8), rounds=1)
    names = {"autocontrast", "equalize", "rotate", "color", "contrast", "brightness", "sharpness"}
    assert len(times) == 7 and {time.name for time in times} == names
    assert all(time.pillow > 0 and time.on_arrays > 0 and time.ours > 0 for time in times)
    assert cv2.getNumThreads() == threads


def test_the_table_shows_speedups():
    console = Console(width=80)
    with console.capture() as capture:
        console.print(operations_table([OperationTime("rotate", pillow=6.0, on_arrays=9.0, ours=1.5)]))
    row = next(line for line in capture.get().splitlines() if "rotate" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == ["rotate", "6.00", "9.00", "1.50", "4.0", "6.0"]
    assert fits(operations_table([OperationTime("autocontrast", pillow=106.0, on_arrays=109.0, ours=101.5)]))
