"""Shares of a batch; what needs several processes is shown in test_step."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from geoclip.training.workers import Workers


@given(st.integers(0, 200), st.integers(1, 17))
def test_shares_cover_everything_once_in_order_and_differ_by_at_most_one(count, size):
    shares = [Workers(rank, size).share(count) for rank in range(size)]
    assert [i for s in shares for i in range(count)[s]] == list(range(count))
    lengths = [s.stop - s.start for s in shares]
    assert max(lengths) - min(lengths) <= 1


def test_any_worker_knows_the_others_shares():
    assert Workers(0, 3).share(10, rank=2) == Workers(2, 3).share(10)


def test_a_single_process_gathers_its_own_rows_without_gradient():
    own = torch.ones(3, 2, requires_grad=True)
    gathered = Workers.current().gather(own, 3)
    assert torch.equal(gathered, own) and not gathered.requires_grad
    assert Workers.current() == Workers(0, 1)
