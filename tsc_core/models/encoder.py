"""The CNN over one alert's stamps (paper, Table 4), cyclic pooling, and the code of an alert without stamps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tsc_core.alerts import Batch
from tsc_core.config import ConfigError, EncoderConfig
from tsc_core.models.rotation import Rotations


def _convolutions(config: EncoderConfig, channels: int) -> nn.Sequential:
    """The trunk of Table 4; "same" convolutions but the first, which may be zero-padded as in the base network."""
    width, wide, same = config.width, 2 * config.width, config.kernel // 2
    return nn.Sequential(
        nn.Conv2d(channels, width, config.first_kernel, padding=config.padding),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, config.kernel, padding=same),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(width, wide, config.kernel, padding=same),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, wide, config.kernel, padding=same),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, wide, config.kernel, padding=same),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


@torch.no_grad()
def _dry_run(trunk: nn.Module, channels: int, crop: int) -> int:
    """Numbers that leave the trunk for one a x a image: widths are derived, never typed."""
    try:
        width = trunk(torch.zeros(1, channels, crop, crop)).shape[1]
    except RuntimeError:
        width = 0
    if width == 0:
        raise ConfigError(f"preprocess.crop is {crop}: too small for the encoder's convolutions and pooling")
    return width


class Encoder(nn.Module):
    """One alert's stamps to a code: rotate, crop, encode every view by the same CNN, average the views.

    Parameters
    ----------
    config : EncoderConfig
    channels : int
        Stamps per alert.
    crop : int
        Side of the grid in pixels.
    """

    def __init__(self, config: EncoderConfig, channels: int, crop: int) -> None:
        super().__init__()
        self.rotations = Rotations(config.rotations, config.jitter_turns, crop)
        self.trunk = _convolutions(config, channels)
        self.project = nn.Sequential(nn.Linear(_dry_run(self.trunk, channels, crop), config.codes), nn.ReLU())

    def view_codes(self, stamps: Tensor) -> Tensor:
        """Codes of each rotated view, (N, k, E), of stamps (N, C, H, W)."""
        codes = self.project(self.trunk(self.rotations(stamps)))  # (N * k, E)
        return codes.view(len(stamps), self.rotations.views, -1)

    def forward(self, stamps: Tensor) -> Tensor:
        """Codes (N, E) of stamps (N, C, H, W): the mean over views, "cyclic pooling"."""
        return self.view_codes(stamps).mean(dim=1)


class AlertCoder(nn.Module):
    """Codes for all detections of a batch; one learned code stands for every missing stamp.

    Parameters
    ----------
    config : EncoderConfig
    channels, crop : int
        As for `Encoder`.
    """

    def __init__(self, config: EncoderConfig, channels: int, crop: int) -> None:
        super().__init__()
        self.width = config.codes
        self.encoder = Encoder(config, channels, crop)
        self.no_stamp = nn.Parameter(torch.zeros(config.codes))

    def encode(self, stamps: Tensor) -> Tensor:
        """Codes (N, E) of stamps (N, C, H, W), N possibly 0."""
        return self.encoder(stamps).float() if len(stamps) else stamps.new_zeros(0, self.width)

    def forward(self, batch: Batch) -> Tensor:
        """Codes (B, A, E); `batch.codes` are used where given, and then no stamp is encoded."""
        codes = batch.codes
        if codes is None:
            seen = batch.has_stamps & batch.present  # (B, A)
            found = self.encode(batch.stamps[seen])
            codes = found.new_zeros(*seen.shape, self.width).index_put((seen,), found)
        return torch.where(batch.has_stamps[..., None], codes, self.no_stamp)


class NoCoder(nn.Module):
    """Stands where a model has no images: codes of length 0, no parameters."""

    width = 0

    def encode(self, stamps: Tensor) -> Tensor:
        """Codes (N, 0)."""
        return stamps.new_zeros(len(stamps), 0)

    def forward(self, batch: Batch) -> Tensor:
        """Codes (B, A, 0)."""
        return batch.dynamic.new_zeros(*batch.present.shape, 0)
