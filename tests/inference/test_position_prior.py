"""The baseline that predicts the most frequent class at each position."""

import numpy as np
import torch

from regseg.inference.position_prior import PositionPrior

LABELS = [np.array(rows, np.uint8) for rows in ([[0, 1], [2, 255]], [[0, 1], [1, 255]], [[1, 2], [1, 2]])]


def test_the_most_frequent_class_at_each_position():
    """Ignored pixels do not count, so the last position has one label."""
    prior = PositionPrior(LABELS, 3, (2, 2))
    logits = prior(torch.zeros(4, 3, 2, 2))
    assert logits.shape == (4, 3, 2, 2) and logits.argmax(1)[3].tolist() == [[0, 1], [1, 2]]


def test_the_map_is_resized_to_the_images():
    labels = PositionPrior(LABELS, 3, (2, 2))(torch.zeros(1, 3, 4, 6)).argmax(1)[0]
    assert labels.tolist() == [[0, 0, 0, 1, 1, 1]] * 2 + [[1, 1, 1, 2, 2, 2]] * 2


def test_labels_are_counted_at_one_size():
    large = [label.repeat(3, 0).repeat(3, 1) for label in LABELS]
    assert torch.equal(PositionPrior(large, 3, (2, 2)).logits, PositionPrior(LABELS, 3, (2, 2)).logits)
