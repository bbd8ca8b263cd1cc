import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """One thread: sums then have one order, and small maps are not slowed by threads that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
