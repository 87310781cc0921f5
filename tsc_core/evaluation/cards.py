"""What the bundles that ship say of themselves, read without loading them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tsc_core.evaluation.runs import CHECKPOINTS, PROJECT, Unreadable, flatten, read_object

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Card:
    """A bundle for a person.

    Attributes
    ----------
    name : str
    config : Mapping of dotted key to value
    text : str
        `card.md`, written by the command that evaluates the bundle; "" without one.
    members, size : int
        Models averaged; bytes of the weights.
    problem : str or None
        Why the bundle cannot be described.
    """

    name: str
    config: Mapping[str, object] = field(default_factory=dict)
    text: str = ""
    members: int = 0
    size: int = 0
    problem: str | None = None

    @property
    def n(self) -> str:
        """The numbers of detections it serves, in words."""
        most = self.config.get("model.n", "?")
        return f"1 to {most}" if self.config.get("model.kind") == "unified" else str(most)


def read_cards(folder: str | Path = PROJECT / CHECKPOINTS) -> list[Card]:
    """Every bundle in a folder, by name; a broken one with its fault."""
    return [_card(path.parent) for path in sorted(Path(folder).glob("*/bundle.json"))]


def weights_size(folder: Path) -> int:
    """Bytes of a bundle's weights, 0 where they are missing."""
    weights = folder / WEIGHTS
    return weights.stat().st_size if weights.exists() else 0


def _card(folder: Path) -> Card:
    try:
        found = read_object(folder / "bundle.json")
        config = found.get("config")
        if not isinstance(config, dict):
            raise Unreadable("bundle.json has no configuration")
        text = folder / "card.md"
        words = text.read_text(encoding="utf-8", errors="replace") if text.exists() else ""
        size = weights_size(folder)
        members = int(found.get("members", 1))
    except (Unreadable, OSError, TypeError, ValueError) as error:
        return Card(folder.name, problem=str(error))
    return Card(folder.name, flatten(config), words, members, size, None if size else f"{WEIGHTS} is missing")
