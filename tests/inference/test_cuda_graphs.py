"""When graphs are captured, which are kept, and that their results are those of the function."""

import numpy as np
import pytest
import torch

from regseg.inference.cuda_graphs import MOST_GRAPHS, CudaGraph, GraphsBySize

CPU = torch.device("cpu")


class CpuGraph:
    """Stands for a CUDA graph: like one, it has a single buffer for the images and a single one for the result."""

    def __init__(self, compute, shape, device):
        self.images, self.compute = torch.zeros(shape, dtype=torch.uint8, device=device), compute
        self.labels = compute(self.images)
        self.runs = 0

    def __call__(self, images):
        self.images.numpy()[...] = images
        self.labels.copy_(self.compute(self.images))
        self.runs += 1
        return self.labels.cpu().numpy().copy()


@pytest.fixture
def captured():
    return []


@pytest.fixture
def graphs(captured):
    def capture(compute, shape, device):
        captured.append(CpuGraph(compute, shape, device))
        return captured[-1]

    return GraphsBySize(first_pixel, CPU, capture)


def first_pixel(images, size):
    return images[:, :1, :1, 0].expand(-1, *size).contiguous()


def image(height, width, value):
    return np.full((1, height, width, 3), value, np.uint8)


def test_a_second_image_of_a_size_is_captured(graphs, captured):
    for value in range(4):
        labels = graphs(image(32, 48, value), (32, 48))
        assert labels.shape == (1, 32, 48) and (labels == value).all()
    assert len(captured) == 1 and captured[0].runs == 3


def test_results_are_kept_when_the_next_image_comes(graphs):
    results = [graphs(image(32, 32, value), (32, 32)) for value in range(4)]
    assert [result[0, 0, 0] for result in results] == [0, 1, 2, 3]


def test_single_images_of_many_sizes_are_not_captured(graphs, captured):
    for number in range(10):
        graphs(image(32 + number, 32, 1), (8, 8))
    assert not captured
    for size in ((8, 8), (9, 9)):  # the size of the labels counts too
        graphs(image(32, 32, 1), size)
    assert not captured


def test_the_graphs_used_last_are_kept(graphs, captured):
    for number in range(MOST_GRAPHS + 1):
        for _ in range(2):
            graphs(image(32 + number, 32, 1), (8, 8))
    graphs(image(33, 32, 7), (8, 8))  # still there: runs at once
    assert len(captured) == MOST_GRAPHS + 1 and captured[1].runs == 2
    assert (graphs(image(32, 32, 5), (8, 8)) == 5).all() and captured[0].runs == 1  # it was given up


def test_what_cannot_be_captured_runs_without_a_graph(capsys):
    def capture(compute, shape, device):
        raise RuntimeError("out of memory\nmore")

    graphs = GraphsBySize(first_pixel, CPU, capture)
    for value in range(4):
        assert (graphs(image(32, 32, value), (8, 8)) == value).all()
    assert capsys.readouterr().out == "Running without CUDA graphs (out of memory).\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_graph_on_a_gpu():
    conv = torch.nn.Conv2d(3, 8, 3, padding=1).cuda().half()

    @torch.inference_mode()
    def compute(images):
        return conv(images.permute(0, 3, 1, 2).half()).argmax(1).byte()

    device = torch.device("cuda", torch.cuda.current_device())
    graph, rng = CudaGraph(compute, (1, 64, 96, 3), device), np.random.default_rng(0)
    for _ in range(3):
        images = rng.integers(0, 256, (1, 64, 96, 3), np.uint8)
        assert (graph(images) == compute(torch.from_numpy(images).cuda()).cpu().numpy()).all()
