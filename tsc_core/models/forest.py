"""Decision trees beside a network: what few labelled objects say of the metadata, as tensors.

Extremely randomised trees learn from tens of objects what a network needs thousands for. They are grown by
`tsc_core.training.ship.trees` and only walked through here; their class frequencies enter as logits that are added
to the network's. Trees have no gradient: a network is trained before they are put beside it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from tsc_core.alerts import Batch
from tsc_core.config import ModelConfig, PreprocessConfig
from tsc_core.features import COLOURS
from tsc_core.models.recurrent import last_present

CHANGING = (
    "isdiffpos", "magpsf", "mag_minus_ref", "magap_minus_magpsf", "log_distnr", "elong", "fwhm", "log_scorr", "rb",
    "sumrat", "log_chipsf",
)  # fmt: skip  # what of a sequence is summed up: mean and scatter over its detections
STATE = ("roots", "feature", "threshold", "second", "votes")
FLOOR = 1e-3  # a class that no tree votes for
MISSING = -10.0  # what a missing number is to a tree: scaled, it stands exactly at 0, the training mean


class Forest(nn.Module):
    """Trees over the metadata of a sequence; without trees it adds nothing.

    Nodes of all trees lie one after another, each tree in preorder from its root: the first child of node i is
    i + 1 and the second `second[i]`; a leaf has a negative `second`, -1 - its row in `votes`.

    Parameters
    ----------
    model : ModelConfig
        `model.trees_share` is the weight of the trees' logits beside the network's.
    preprocess : PreprocessConfig
        Names the features.

    Attributes
    ----------
    roots : Tensor (T,), int32
    feature : Tensor (M,), uint8
        Column of `inputs`, met at each node.
    threshold : Tensor (M,), float32
        A value up to it goes to the first child.
    second : Tensor (M,), int32
    votes : Tensor (L, K), uint8
        Class frequencies of each leaf, in 255ths.
    """

    def __init__(self, model: ModelConfig, preprocess: PreprocessConfig) -> None:
        super().__init__()
        self.single = model.kind == "stamp"
        self.changing = [] if self.single else [i for i, name in enumerate(preprocess.dynamic) if name in CHANGING]
        dynamics = len(preprocess.dynamic) + (not self.single)  # a single alert has no time since the previous one
        self.allwise = model.colours_enter
        once = len(preprocess.static) + (len(COLOURS) + 1 if self.allwise else 0)
        self.width = dynamics + 2 * len(self.changing) + once
        self.classes, self.share, self.groups = len(model.classes), model.trees_share, 1
        kinds = (torch.int32, torch.uint8, torch.float32, torch.int32, torch.uint8)
        shapes = ((0,), (0,), (0,), (0,), (0, self.classes))
        for name, kind, shape in zip(STATE, kinds, shapes, strict=True):
            self.register_buffer(name, torch.zeros(shape, dtype=kind))
        self.register_buffer(
            "links", torch.zeros(0, dtype=torch.int32), persistent=False
        )  # first children, then second
        self.register_buffer("columns", torch.zeros(0, dtype=torch.int32), persistent=False)
        self.depth = 0

    def inputs(self, batch: Batch) -> Tensor:
        """What the trees read after each detection, (B, A, `width`): its metadata, and the sequence so far."""
        dynamic = batch.dynamic[..., :-1] if self.single else batch.dynamic
        parts = [dynamic]
        if self.changing:
            count = batch.present.cumsum(1).clamp(min=1)[..., None]
            changing = dynamic[..., self.changing] * batch.present[..., None]
            mean = changing.cumsum(1) / count
            square = changing.square().cumsum(1) / count
            parts += [mean, (square - mean.square()).clamp(min=0).sqrt()]
        parts[0] = torch.where(dynamic == 0, MISSING, dynamic)
        static = torch.where(batch.static == 0, MISSING, batch.static)
        once = torch.cat((static, batch.allwise), dim=1) if self.allwise else static
        return torch.cat((*parts, once[:, None].expand(-1, dynamic.shape[1], -1)), dim=-1)

    def newest(self, batch: Batch) -> Tensor:
        """`inputs` after each object's last detection, (B, `width`)."""
        return last_present(self.inputs(batch), batch.present)

    def forward(self, inputs: Tensor) -> Tensor | float:
        """What to add to logits (..., K) for `inputs` (..., `width`); for trees of several, (groups, ..., K)."""
        if not len(self.roots):
            return 0.0
        rows = inputs.flatten(0, -2)
        values, count = rows.reshape(-1), len(rows)
        row = (torch.arange(count, dtype=torch.int32, device=rows.device) * self.width).repeat(len(self.roots))
        here = self.roots.repeat_interleave(count)  # (T N,): tree by tree, so that its nodes stay in the cache
        for _ in range(self.depth):
            column = self.columns.index_select(0, here)
            beyond = values.index_select(0, row + column) > self.threshold.index_select(0, here)
            here = self.links.index_select(0, torch.add(here, beyond, alpha=len(self.columns)))
        votes = self.votes.index_select(0, -1 - self.second.index_select(0, here))
        votes = votes.view(self.groups, len(self.roots) // self.groups, count, self.classes)
        votes = votes.float().mean(1) / 255  # (G, N, K)
        added = self.share * (votes + FLOOR).log().reshape(self.groups, *inputs.shape[:-1], self.classes)
        return added if self.groups > 1 else added[0]

    def plant(self, state: Mapping[str, Tensor]) -> None:
        """Take the tensors of grown trees.

        Raises
        ------
        ValueError
            Where they are no trees over these features and classes: a walk could leave them or never end.
        """
        fault = self._fault(state)
        if fault:
            raise ValueError(f"trees: {fault}")
        for name in STATE:
            setattr(self, name, state[name].clone())
        leaf, place = self.second < 0, torch.arange(len(self.second), dtype=torch.int32, device=self.second.device)
        second = torch.where(leaf, place, self.second)
        self.links = torch.cat((torch.where(leaf, place, place + 1), second))
        self.columns = self.feature.int()
        self.depth = self._walk()

    def _fault(self, state: Mapping[str, Tensor]) -> str | None:
        missing = [name for name in STATE if name not in state]
        if missing:
            return f"without {', '.join(missing)}"
        if wrong := [name for name in STATE if state[name].dtype != getattr(self, name).dtype]:
            return f"{', '.join(wrong)} of another kind of number"
        roots, feature, threshold, second, votes = (state[name] for name in STATE)
        nodes, place = len(second), torch.arange(len(second), device=second.device)
        if {roots.ndim, feature.ndim, threshold.ndim, second.ndim} != {1} or votes.shape[1:] != (self.classes,):
            return f"need lists of nodes, and votes for {self.classes} classes"
        if not len(feature) == len(threshold) == nodes or not torch.isfinite(threshold).all():
            return f"{nodes} nodes need as many features and finite thresholds"
        if nodes and int(feature.max()) >= self.width:
            return f"feature {int(feature.max())} where there are {self.width}"
        inner = second >= 0
        if (second[inner] <= place[inner] + 1).any() or (second >= nodes).any() or (nodes and bool(inner[-1])):
            return "children need to come after their node"
        if ((roots < 0) | (roots >= nodes)).any() or (-1 - second[~inner] >= len(votes)).any():
            return "roots and leaves need to lie among the nodes and votes"
        return None

    def _walk(self) -> int:
        """Steps from the roots to the deepest leaf; children come after their node, so that it ends."""
        depth, here = 0, self.roots.long().unique()
        while len(inner := here[self.second[here] >= 0]):
            here = torch.cat((inner + 1, self.second[inner].long())).unique()
            depth += 1
        return depth

    def beside(self, others: Sequence[Forest]) -> Forest:
        """These trees and those of others, each as many, walked at once: what each adds comes along a first axis."""
        forests = (self, *others)
        nodes = [0, *accumulate(len(forest.second) for forest in forests)]
        leaves = [0, *accumulate(len(forest.votes) for forest in forests)]
        parts = [
            (
                f.roots + node,
                f.feature,
                f.threshold,
                torch.where(f.second < 0, f.second - leaf, f.second + node),
                f.votes,
            )
            for f, node, leaf in zip(forests, nodes, leaves, strict=False)
        ]
        found = copy.copy(self)
        found._buffers = dict(self._buffers)
        found.plant(dict(zip(STATE, map(torch.cat, zip(*parts, strict=True)), strict=True)))
        found.groups = len(forests)
        return found

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *args: object) -> None:
        own = {name: state[prefix + name] for name in STATE if prefix + name in state}
        if own:
            self.plant(own)
        super()._load_from_state_dict(state, prefix, *args)
