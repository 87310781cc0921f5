"""Speeds on this machine beside its own limits: what `tsc bench` prints.

A rate is the best of several rounds: other work on the machine can only make a round slower. A ratio is the median of
those of the rounds, in each of which both pieces of work ran one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import numpy as np
import torch
from torch import nn

from tsc_core.alerts import Alert, AlertSequence, Batch, Example, Stamps
from tsc_core.bundle import Bundle
from tsc_core.config import ModelConfig, PreprocessConfig, RecurrentConfig
from tsc_core.inference.fast import FastEncoder, available, calibrate
from tsc_core.inference.predictor import Predictor, serves
from tsc_core.models import build_model
from tsc_core.models.encoder import Encoder
from tsc_core.preprocessing import Selection, collate, select_alerts
from tsc_core.preprocessing.transform import scale_stamps
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import MAX_DETECTIONS, ZTF

Work = Callable[[], object]
MATRIX = 1024  # side of the matrices multiplied to learn the machine's rate
BATCH = 24  # objects of a whole-path batch: 48 stamps, 288 views
LARGE = 256


def take_turns(work: Mapping[str, Work], rounds: int, least: float = 0.0) -> list[dict[str, float]]:
    """Seconds of each piece of work in each round; one further round runs before them, to prepare kernels.

    `least`: seconds that a piece is repeated for in a round, for work that is quick beside the clock.
    """
    found = []
    for _ in range(rounds + 1):
        seconds = {}
        for name, run in work.items():
            count, started = 0, time.perf_counter()
            while count == 0 or time.perf_counter() - started < least:
                run()
                count += 1
            seconds[name] = (time.perf_counter() - started) / count
        found.append(seconds)
    return found[1:]


def median_ratio(found: Sequence[Mapping[str, float]], above: str, below: str) -> float:
    """Median over rounds of the time of one piece of work over that of another."""
    return median(seconds[above] / seconds[below] for seconds in found)


def best_seconds(run: Work, rounds: int, least: float = 0.0) -> float:
    """Shortest time of a piece of work in so many rounds."""
    return min(seconds["run"] for seconds in take_turns({"run": run}, rounds, least))


def network_flops(network: nn.Module, batch: Batch) -> int:
    """Floating-point operations of the convolutions and linear layers in one forward pass (2 per multiply-add)."""
    counted = [0]

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        inputs = module.weight[0].numel()
        counted[0] += 2 * output.numel() * inputs

    kinds = (nn.Conv2d, nn.Linear)
    hooks = [module.register_forward_hook(count) for module in network.modules() if isinstance(module, kinds)]
    with torch.inference_mode():
        network(batch)
    for hook in hooks:
        hook.remove()
    return counted[0]


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Random objects of two detections, for work whose speed does not depend on what is in the stamps."""

    alerts: tuple[tuple[Alert, ...], ...]
    example: Example
    config: PreprocessConfig

    @classmethod
    def random(cls, objects: int, n: int, config: PreprocessConfig) -> Made:
        """`objects` of `n` detections with noise for stamps and metadata."""
        rng, side = np.random.default_rng(0), ZTF.stamp_size

        def stamps() -> Stamps:
            return Stamps(*rng.normal(100, 10, (3, side, side)).astype(np.float32))

        alerts = tuple(tuple(Alert("", "", 0.0, 1, stamps=stamps()) for _ in range(n)) for _ in range(objects))
        sizes = (n, len(config.dynamic) + 1), len(config.static), 4
        numbers = [rng.normal(size=size).astype(np.float32) for size in sizes]
        return cls(alerts, Example(np.zeros(0), np.ones(n, bool), *numbers, 0), config)

    def batch(self) -> Batch:
        """From raw stamps to a batch: scaling and collation, as in training and prediction."""
        scaled = (scale_stamps(alerts, self.config) for alerts in self.alerts)
        return collate([replace(self.example, stamps=stamps, has_stamps=has) for stamps, has in scaled])


def encoder_speeds(rounds: int = 9) -> dict[str, dict[str, float]]:
    """Whole path and whole training step of the paper's configuration, as fractions of the matrix-product rate.

    The network is the temporal one at n = 2 (a = 33, k = 6, 5x5 kernels, two channels) with random weights. A
    training step counts three times the forward operations, less the gradient of the first layer's input.
    """
    preprocess = PreprocessConfig()
    made = Made.random(BATCH, 2, preprocess)
    torch.manual_seed(0)
    network = build_model(ModelConfig(recurrent=RecurrentConfig("lstm")), preprocess)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=True)
    flops = network_flops(network.eval(), made.batch())
    first = network.coder.encoder.trunk[0]
    first_only = 2 * BATCH * 2 * network.coder.encoder.rotations.views * _conv_products(first, preprocess.crop)

    @torch.inference_mode()
    def forward(model: nn.Module) -> None:
        model.eval()(made.batch())

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network.train()(made.batch()), torch.zeros(BATCH, dtype=torch.int64)).backward()
        optimizer.step()

    matrix, products = torch.randn(MATRIX, MATRIX), round(flops / (2 * MATRIX**3))

    def multiply() -> None:
        for _ in range(products):  # as many operations as a forward pass: other work on the machine hits both alike
            matrix @ matrix

    work: dict[str, Work] = {"matrix": multiply, "forward": lambda: forward(network), "step": step}
    if available():
        fast = _fast(network, preprocess, made)
        work["fast"] = lambda: forward(fast)
    found = take_turns(work, rounds)
    plain = products * 2 * MATRIX**3  # operations of "matrix"
    return {
        "machine": {
            "matmul_gflops": round(plain / min(row["matrix"] for row in found) / 1e9, 2),
            "threads": torch.get_num_threads(),
        },
        "encoder": {
            "forward_fraction": round(flops / plain * median_ratio(found, "matrix", "forward"), 4),
            "train_fraction": round((3 * flops - first_only) / plain * median_ratio(found, "matrix", "step"), 4),
            "fast_speedup": round(median_ratio(found, "forward", "fast"), 3) if "fast" in work else None,
        },
    }


def _conv_products(layer: nn.Conv2d, side: int) -> int:
    """Multiply-adds of one convolution on an image of `side` pixels."""
    out = side + 2 * layer.padding[0] - layer.kernel_size[0] + 1
    return out * out * layer.weight.numel()


def _fast(network: nn.Module, preprocess: PreprocessConfig, made: Made) -> nn.Module:
    """A copy of a network on the fast path."""
    found = build_model(ModelConfig(recurrent=RecurrentConfig("lstm")), preprocess)
    found.load_state_dict(network.state_dict())
    encoder: Encoder = found.coder.encoder
    limits = calibrate(encoder, made.batch().stamps.flatten(0, 1))
    found.coder.encoder = FastEncoder(encoder, limits)
    return found


def distinct(sequences: Sequence[AlertSequence], count: int, n: int) -> list[tuple[Selection, AlertSequence]]:
    """`count` objects with n usable detections each, of different ids, made from those given; [] if none has n."""
    able = [(found, s) for s in sequences if len((found := select_alerts(s, "first", n)).used) == n]
    objects = []
    for i in range(count if able else 0):
        selection, sequence = able[i % len(able)]
        renamed = tuple(replace(alert, oid=f"SIM1x{i:06d}") for alert in selection.used)
        objects.append((replace(selection, used=renamed), sequence))
    return objects


def bundle_speeds(
    bundles: Sequence[Bundle], sequences: Sequence[AlertSequence], rounds: int = 2, large: int = LARGE
) -> dict[str, dict[str, dict[str, float]]]:
    """Objects per second of each bundle at each n it serves, one object at a time and many at once."""
    speeds: dict[str, dict[str, dict[str, float]]] = {}
    for bundle in bundles:
        predictor = Predictor([bundle])
        for n in serves(bundle):
            many = distinct(sequences, large, n)
            if not many:
                continue
            one = best_seconds(partial(predictor.score, many[:1]), rounds, least=0.2)
            all_at_once = best_seconds(partial(predictor.score, many), rounds)
            speeds.setdefault(bundle.name, {})[str(n)] = {
                "objects_per_s_batch1": round(1 / one, 2),
                f"objects_per_s_batch{large}": round(large / all_at_once, 2),
            }
    return speeds


def progression_ratios(
    bundles: Sequence[Bundle], sequences: Sequence[AlertSequence], rounds: int = 9
) -> dict[str, float]:
    """Cost of all steps of objects of five detections, over that of the last step alone; empty if none serves it alone.

    Returns
    -------
    dict
        "each n": by the bundles made for a single n. "one pass": by a bundle for any number, where there is one; it has
        an encoder as large as that of the bundle for the last step.
    """
    single = [bundle for bundle in bundles if len(serves(bundle)) == 1]
    last = [bundle for bundle in single if MAX_DETECTIONS in serves(bundle)]
    many = [bundle for bundle in bundles if len(serves(bundle)) == MAX_DETECTIONS]
    objects = distinct(sequences, 32, MAX_DETECTIONS)
    if not last or not objects:
        return {}
    predictors = {"alone": Predictor(last[:1]), "each n": Predictor(single)}
    predictors |= {"one pass": Predictor(many[:1])} if many else {}
    seconds = take_turns({name: partial(made.score, objects) for name, made in predictors.items()}, rounds)
    return {name: round(median_ratio(seconds, name, "alone"), 3) for name in predictors if name != "alone"}


def decode_rate(source: PacketSource, rounds: int = 2) -> float:
    """Alerts per second from an archive's packets to sequences with stamps."""
    oids = source.oids()
    alerts = sum(alert.has_stamps for oid in oids for alert in source.fetch(oid).alerts)
    return round(alerts / best_seconds(lambda: [source.fetch(oid) for oid in oids], rounds), 1)
