"""The layers over a sequence of detections (paper, Table 5), and a small transformer.

Every layer takes steps (B, A, F) and gives a state for every detection, (B, A, `width`). State t depends on the
detections up to t alone: padding at the end of a sequence cannot reach it, and one pass gives a whole progression.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tsc_core.config import ConfigError, RecurrentConfig
from tsc_core.survey import MAX_DETECTIONS


def last_present(values: Tensor, present: Tensor) -> Tensor:
    """The row of each object's last present detection: (B, A, W) and a mask (B, A) to (B, W)."""
    last = (present.sum(dim=1) - 1).clamp(min=0)
    return values[torch.arange(len(values), device=values.device), last]


class Gated(nn.Module):
    """LSTM, GRU or SimpleRNN (tanh): `layers` of `units` each.

    Parameters
    ----------
    kind : type
        `nn.LSTM`, `nn.GRU` or `nn.RNN`.
    """

    def __init__(self, kind: type[nn.RNNBase], inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.width = config.units
        self.cells = kind(inputs, config.units, config.layers, batch_first=True)

    def forward(self, steps: Tensor) -> Tensor:
        """States (B, A, units)."""
        return self.cells(steps)[0]


class Windows(nn.Module):
    """One linear map with ReLU over each window of `kernel` successive detections: (B, A, F) to (B, A, units).

    The window of detection t ends at t; before the first detection it sees zeros.
    """

    def __init__(self, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.width, self.kernel = config.units, config.kernel
        self.weights = nn.Conv1d(inputs, config.units, config.kernel)

    def over_windows(self, steps: Tensor) -> Tensor:
        """Outputs of the window that ends at each detection, (B, A, units)."""
        padded = functional.pad(steps.transpose(1, 2), (self.kernel - 1, 0))  # (B, F, A + kernel - 1)
        return torch.relu(self.weights(padded)).transpose(1, 2)

    def pooled(self, steps: Tensor, pool: Callable[[Tensor], Tensor]) -> Tensor:
        """Pool over complete windows as they come; where none is complete yet, the partial window alone."""
        outputs, partial = self.over_windows(steps), self.kernel - 1
        return torch.cat((outputs[:, :partial], pool(outputs[:, partial:])), dim=1)


class Conv1D(Windows):
    """A convolution in time, the greatest response over the windows so far."""

    def forward(self, steps: Tensor) -> Tensor:
        """States (B, A, units)."""
        return self.pooled(steps, lambda outputs: torch.cummax(outputs, dim=1).values)


class TDNN(Windows):
    """A time-delay network: responses of a window of delays, averaged over time (Waibel et al. 1989)."""

    def forward(self, steps: Tensor) -> Tensor:
        """States (B, A, units)."""
        return self.pooled(steps, _running_mean)


def _running_mean(values: Tensor) -> Tensor:
    """Mean of values (B, A, W) up to each A."""
    count = torch.arange(1, values.shape[1] + 1, device=values.device, dtype=values.dtype)
    return values.cumsum(dim=1) / count[:, None]


class Gamma(nn.Module):
    """Gamma memory (de Vries & Principe 1992): k leaky taps in a row, then a linear map with tanh.

    g_0(t) = x(t); g_j(t) = (1 - mu) g_j(t - 1) + mu g_{j-1}(t - 1), j = 1..k, all 0 before the first detection.
    mu is learned within (0, 2), where the memory is stable; at mu = 1 it is a plain delay line.
    """

    def __init__(self, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        self.width, self.taps = config.units, config.taps
        self.raw_mu = nn.Parameter(torch.zeros(()))  # mu = 1 at the start
        self.mix = nn.Linear(inputs * (config.taps + 1), config.units)

    def extra_repr(self) -> str:
        """Number of taps, for `repr`."""
        return f"taps={self.taps}"

    @property
    def mu(self) -> Tensor:
        """The leak, a scalar in (0, 2)."""
        return 2 * torch.sigmoid(self.raw_mu)

    def memory(self, steps: Tensor) -> Tensor:
        """Taps g_0..g_k after each detection, (B, A, k + 1, F)."""
        taps = steps.new_zeros(len(steps), self.taps + 1, steps.shape[2])
        rows = []
        for step in steps.unbind(dim=1):
            moved = (1 - self.mu) * taps[:, 1:] + self.mu * taps[:, :-1]
            taps = torch.cat((step[:, None], moved), dim=1)
            rows.append(taps)
        return torch.stack(rows, dim=1)

    def forward(self, steps: Tensor) -> Tensor:
        """States (B, A, units)."""
        return torch.tanh(self.mix(self.memory(steps).flatten(2)))


class Transformer(nn.Module):
    """A causal transformer encoder with learned places, pre-norm (the paper's future work)."""

    def __init__(self, inputs: int, config: RecurrentConfig) -> None:
        super().__init__()
        if config.units % config.heads:
            raise ConfigError(f"recurrent.units is {config.units}: not a multiple of recurrent.heads = {config.heads}")
        self.width = config.units
        self.project = nn.Linear(inputs, config.units)
        self.places = nn.Parameter(0.02 * torch.randn(MAX_DETECTIONS, config.units))
        layer = nn.TransformerEncoderLayer(
            config.units, config.heads, 2 * config.units, dropout=0.0, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(
            layer, config.layers, nn.LayerNorm(config.units), enable_nested_tensor=False
        )

    def forward(self, steps: Tensor) -> Tensor:
        """States (B, A, units), A up to `MAX_DETECTIONS`."""
        count = steps.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=steps.device).triu(1)
        return self.blocks(self.project(steps) + self.places[:count], mask=later)


RECURRENT: dict[str, Callable[[int, RecurrentConfig], nn.Module]] = {
    "conv1d": Conv1D,
    "lstm": lambda inputs, config: Gated(nn.LSTM, inputs, config),
    "gru": lambda inputs, config: Gated(nn.GRU, inputs, config),
    "rnn": lambda inputs, config: Gated(nn.RNN, inputs, config),
    "gamma": Gamma,
    "tdnn": TDNN,
    "transformer": Transformer,
}


def build_recurrent(inputs: int, config: RecurrentConfig) -> nn.Module:
    """The layer named by `config.kind` for steps of length `inputs`; it has `width`, the length of its states."""
    return RECURRENT[config.kind](inputs, config)
