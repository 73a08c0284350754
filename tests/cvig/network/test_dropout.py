import pytest
import torch

from witw.cvig.network.dropout import Dropout, uniform

SEEDS = torch.randint(2**62, (500,), generator=torch.Generator().manual_seed(0))


def test_numbers_are_even_and_unrelated():
    values = uniform(SEEDS, 400)
    assert values.min() >= 0
    assert values.max() < 1
    counts = torch.histc(values, 20, 0, 1) / values.numel()
    assert (counts - 0.05).abs().max() < 0.003
    for first, second in ((values[:, :-1], values[:, 1:]), (values[:-1], values[1:])):
        assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs() < 0.01


def test_seeds_in_a_row_are_as_good_as_any():
    values = uniform(torch.arange(500), 400)
    assert torch.corrcoef(values.T).fill_diagonal_(0).abs().max() < 0.3
    assert abs(values.mean().item() - 0.5) < 0.003


def test_a_rows_losses_do_not_depend_on_its_neighbours():
    drop, x = Dropout(0.3).train(), torch.rand(6, 4, 5)
    whole = drop(x, SEEDS[:6])
    assert torch.equal(whole[2:4], drop(x[2:4], SEEDS[2:4]))
    assert not torch.equal(whole == 0, Dropout(0.3, salt=1).train()(x, SEEDS[:6]) == 0)


@pytest.mark.parametrize("channels", [False, True])
def test_drops_its_share_and_keeps_the_mean(channels):
    out = Dropout(0.25, channels).train()(torch.ones(500, 40, 3), SEEDS)
    assert abs((out == 0).float().mean().item() - 0.25) < 0.01
    assert abs(out.mean().item() - 1) < 0.015
    whole = (out == 0).all(dim=-1) | (out != 0).all(dim=-1)
    assert whole.all() if channels else not whole.all()


def test_nothing_is_lost_outside_of_training():
    x = torch.rand(2, 3, 4)
    assert torch.equal(Dropout(0.5).eval()(x, SEEDS[:2]), x)
    assert torch.equal(Dropout(0.5).train()(x, None), x)
