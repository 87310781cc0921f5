"""The fast path: a bundle's encoder in 8-bit integers, through OpenVINO (the extra `fast`).

Weights are rounded per output channel, activations per layer within limits measured once on a few hundred stamps.
The limits are plain numbers beside the bundle (`fast.json`): the graph itself is built from the bundle's own weights.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tsc_core.alerts import Alert
from tsc_core.bundle import Bundle, load_bundle
from tsc_core.models.encoder import Encoder
from tsc_core.preprocessing.transform import scale_stamps

if TYPE_CHECKING:
    import openvino

LIMITS = "fast.json"
LEVELS = 256  # of an 8-bit activation; weights have 255, symmetric


class FastError(RuntimeError):
    """The fast path cannot be had; the message says why."""


def available() -> bool:
    """Whether OpenVINO is installed."""
    return importlib.util.find_spec("openvino") is not None


def _layers(encoder: Encoder) -> list[nn.Module]:
    return [*encoder.trunk, *encoder.project]


@torch.inference_mode()
def calibrate(encoder: Encoder, stamps: Tensor) -> list[float]:
    """Greatest input of each convolution and linear layer over stamps (N, C, H, W), scaled as for the model."""
    limits, values = [], encoder.eval().rotations(stamps)
    for layer in _layers(encoder):
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            limits.append(max(float(values.max()), 1e-6))
        values = layer(values.clone())  # the trunk's ReLU works in place
    return limits


def limits_of(bundle: Bundle, alerts: Iterable[Alert]) -> list[float] | None:
    """Limits of a bundle's encoder over the stamps of some alerts; None where it has no images."""
    if not bundle.config.model.images:
        return None
    stamps, has_stamps = scale_stamps(tuple(alerts), bundle.config.preprocess)
    return calibrate(bundle.model.coder.encoder, torch.from_numpy(stamps[has_stamps]))


def _rounded(weight: np.ndarray) -> openvino.Node:
    """A weight constant on 255 levels, symmetric for each output channel."""
    from openvino import opset13 as ops

    axes = tuple(range(1, weight.ndim))
    top = np.maximum(np.abs(weight).max(axis=axes, keepdims=True), 1e-12)
    return ops.fake_quantize(ops.constant(weight), -top, top, -top, top, LEVELS - 1)


def _layer(values: openvino.Node, layer: nn.Module, limits: list[float]) -> openvino.Node:
    """One layer of the encoder as graph nodes; takes its limit from the front of `limits`."""
    from openvino import opset13 as ops

    if isinstance(layer, (nn.Conv2d, nn.Linear)):
        low, high = np.float32(0), np.float32(limits.pop(0))
        values = ops.fake_quantize(values, low, high, low, high, LEVELS)
        weight, bias = _rounded(layer.weight.detach().numpy()), layer.bias.detach().numpy()
        if isinstance(layer, nn.Linear):
            return ops.add(ops.matmul(values, weight, False, True), ops.constant(bias))
        pad = list(layer.padding)
        found = ops.convolution(values, weight, [1, 1], pad, pad, [1, 1])
        return ops.add(found, ops.constant(bias.reshape(1, -1, 1, 1)))
    if isinstance(layer, nn.ReLU):
        return ops.relu(values)
    if isinstance(layer, nn.MaxPool2d):
        return ops.max_pool(values, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)
    if isinstance(layer, nn.Flatten):
        return ops.reshape(values, ops.constant(np.array([0, -1])), True)
    raise FastError(f"no fast form of {type(layer).__name__}")


class FastEncoder(nn.Module):
    """Takes the place of an `Encoder` at prediction: same rotations, the CNN in 8-bit integers.

    Parameters
    ----------
    encoder : Encoder
    limits : list of float
        As from `calibrate`.
    threads : int
        Threads of the CNN.

    Raises
    ------
    FastError
        Where OpenVINO is not installed, or the limits are not those of this encoder.
    """

    def __init__(self, encoder: Encoder, limits: list[float], threads: int | None = None) -> None:
        super().__init__()
        if not available():
            raise FastError("the fast path needs the extra `fast`: pip install 'temporal-stamp-classifier[fast]'")
        import openvino
        from openvino import opset13 as ops

        layers, left = _layers(encoder), list(limits)
        needed = sum(isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in layers)
        if len(limits) != needed or not all(0 < limit < np.inf for limit in limits):
            raise FastError(f"{len(limits)} limits for an encoder of {needed} layers: needs as many positive numbers")
        self.rotations = encoder.rotations.eval()
        side = encoder.rotations.crop
        views = ops.parameter([-1, layers[0].in_channels, side, side], np.float32)
        values = views
        for layer in layers:
            values = _layer(values, layer, left)
        model = openvino.Model([values], [views])
        options = {"INFERENCE_NUM_THREADS": threads or torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = openvino.Core().compile_model(model, "CPU", options)
        # in the state, so that codes of different encoders are never taken for one another's
        self.register_buffer("digest", torch.frombuffer(bytearray(_digest(encoder, limits)), dtype=torch.uint8))

    def forward(self, stamps: Tensor) -> Tensor:
        """Codes (N, E) of stamps (N, C, H, W)."""
        views = self.rotations(stamps).contiguous()  # (N * k, C, a, a)
        request = self._compiled.create_infer_request()  # one for each call: threads may share the encoder
        codes = torch.from_numpy(request.infer([views.numpy()])[0].copy())
        return codes.view(len(stamps), self.rotations.views, -1).mean(dim=1)


def _digest(encoder: Encoder, limits: list[float]) -> bytes:
    found = hashlib.sha256(json.dumps(limits).encode())
    for _, tensor in sorted(encoder.state_dict().items()):
        found.update(tensor.contiguous().numpy().tobytes())
    return found.digest()


def write_limits(path: str | Path, limits: list[float]) -> None:
    """Keep limits beside a bundle, in its folder."""
    (Path(path) / LIMITS).write_text(json.dumps({"limits": limits}), encoding="utf-8")


def read_limits(path: str | Path) -> list[float] | None:
    """Limits of the bundle in a folder; None where it has none, or they cannot be read."""
    try:
        return [float(x) for x in json.loads((Path(path) / LIMITS).read_text(encoding="utf-8"))["limits"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def fast_bundle(bundle: Bundle, limits: list[float], threads: int | None = None) -> Bundle:
    """The same bundle with its encoder on the fast path; one without images is returned as it is."""
    if not bundle.config.model.images or not hasattr(bundle.model.coder, "encoder"):
        return bundle
    encoder = FastEncoder(bundle.model.coder.encoder, limits, threads)
    return replace(bundle, members=tuple(_with_encoder(member, encoder) for member in bundle.members))


def load_fast(path: str | Path) -> Bundle:
    """A bundle folder on the fast path where OpenVINO is installed and limits lie beside it, else as it is.

    An OpenVINO that does not work is logged, and the bundle stays as it is.

    Raises
    ------
    BundleError
        As `load_bundle`.
    """
    bundle, limits = load_bundle(path), read_limits(path)
    if not limits or not available():
        return bundle
    try:
        return fast_bundle(bundle, limits)
    except (ImportError, OSError, RuntimeError) as error:
        logging.getLogger(__name__).warning("%s runs in float32: %s", bundle.name, error)
        return bundle


def _with_encoder(member: nn.Module, encoder: FastEncoder) -> nn.Module:
    fast = copy.deepcopy(member)
    fast.coder.encoder = encoder
    return fast
