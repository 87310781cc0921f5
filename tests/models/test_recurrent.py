"""The layers against direct evaluations of their equations in NumPy."""

import numpy as np
import pytest
import torch

from tsc_core.config import RecurrentConfig
from tsc_core.models.recurrent import RECURRENT, build_recurrent, last_present


@pytest.fixture
def steps():
    return torch.from_numpy(np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32))


@pytest.mark.parametrize("taps", [1, 3, 8])
def test_gamma_memory(steps, taps):
    torch.manual_seed(0)
    layer = build_recurrent(3, RecurrentConfig("gamma", units=4, taps=taps))
    with torch.no_grad():
        layer.raw_mu.fill_(0.7)
    mu = 2 / (1 + np.exp(-0.7))
    x, (weight, bias) = steps.numpy(), (p.detach().numpy() for p in layer.mix.parameters())
    g = np.zeros((2, taps + 1, 3))
    for t in range(5):
        before = g.copy()
        g[:, 0] = x[:, t]
        for j in range(1, taps + 1):
            g[:, j] = (1 - mu) * before[:, j] + mu * before[:, j - 1]
        expected = np.tanh(g.reshape(2, -1) @ weight.T + bias)
        np.testing.assert_allclose(layer(steps)[:, t].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_gamma_with_mu_one_is_a_delay_line(steps):
    layer = build_recurrent(3, RecurrentConfig("gamma", taps=2))
    assert layer.mu.item() == 1
    torch.testing.assert_close(layer.memory(steps)[:, 4], steps[:, [4, 3, 2]])


@pytest.mark.parametrize("raw", [-50.0, 50.0])
def test_mu_stays_where_the_memory_is_stable(raw):
    layer = build_recurrent(3, RecurrentConfig("gamma"))
    with torch.no_grad():
        layer.raw_mu.fill_(raw)
    assert 0 <= layer.mu.item() <= 2


@pytest.mark.parametrize(("kind", "pool"), [("tdnn", np.mean), ("conv1d", np.max)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_windows(steps, kind, pool, kernel):
    torch.manual_seed(0)
    layer = build_recurrent(3, RecurrentConfig(kind, units=4, kernel=kernel))
    weight, bias = (p.detach().numpy() for p in layer.weights.parameters())  # (4, 3, kernel), (4,)
    x = steps.numpy()
    windows = [
        np.maximum(sum(x[:, t + j] @ weight[:, :, j].T for j in range(kernel)) + bias, 0) for t in range(5 - kernel + 1)
    ]
    np.testing.assert_allclose(layer(steps)[:, -1].detach().numpy(), pool(windows, axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", RECURRENT)
def test_states_do_not_see_the_future(steps, kind):
    torch.manual_seed(0)
    layer = build_recurrent(3, RecurrentConfig(kind, units=4, kernel=2, layers=2)).eval()
    changed = steps.clone()
    changed[:, 3:] += 1
    before, after = layer(steps), layer(changed)
    assert before.shape == (2, 5, layer.width)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_last_present():
    values = torch.arange(12.0).reshape(2, 3, 2)
    present = torch.tensor([[True, False, False], [True, True, True]])
    assert last_present(values, present).tolist() == [[0, 1], [10, 11]]
