"""A batch of one image: which networks can be trained on it, and what message the others get before training."""

import pytest
import torch
from tiny import train_tiny

import regseg
from regseg.errors import InputError
from regseg.models import list_decoders
from regseg.training.batch_norm import check_batch_size

NETWORKS = [*({"backbone": [[1]], "decoder": name} for name in list_decoders()), {"name": "ddrnet23"}]
NAMES = [*list_decoders(), "ddrnet23"]


def trains(network, batch, size):
    try:
        network.train()(torch.zeros(batch, 3, *size))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("parts", NETWORKS, ids=NAMES)
def test_a_batch_of_one_is_refused_where_the_network_needs_two(parts):
    network = regseg.create_model(**parts, num_classes=2)
    starved = parts.get("decoder") in ("bisenet", "sfnet") or "name" in parts
    assert trains(network, 1, (32, 64)) != starved and trains(network, 2, (32, 64))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.eval()
    if starved:
        words = rf"data\.batch_size=1 .*{parts.get('decoder', 'ddrnet23')} .* of 32x64: .* at least 2\.$"
        with pytest.raises(InputError, match=words):
            check_batch_size(network, 1, [32, 64])
    else:
        check_batch_size(network, 1, [32, 64])
    check_batch_size(network, 2, [32, 64])
    assert not network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_small_crop_starves_a_plain_decoder_too():
    network = regseg.create_model(backbone=[[1]])
    with pytest.raises(InputError, match=r"of 16x16: .* at least 2 or use a larger data\.crop_size\.$"):
        check_batch_size(network, 1, [16, 16])
    check_batch_size(network, 1, [16, 32])


def test_training_refuses_before_its_first_step(streets_root, tmp_path):
    network = regseg.create_model(backbone=[[1]], decoder="bisenet")
    with pytest.raises(InputError, match=r"data\.batch_size=1"):
        train_tiny(streets_root, tmp_path, network=network, batch_size=1)
    _, trainer = train_tiny(streets_root, tmp_path, batch_size=1, max_epochs=1)  # one convolution
    assert trainer.global_step == 9
