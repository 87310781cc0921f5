"""Every configuration that ships can be read and gives a network."""

from pathlib import Path

import pytest

from tsc_core.config import load
from tsc_core.models import build_model
from tsc_core.training.grids.scale import Scale
from tsc_core.training.paper_tables import ROTATIONS

FOLDER = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.toml")), ids=lambda path: path.stem)
def test_config(path):
    config = load(path)
    assert build_model(config.model, config.preprocess)


def test_the_published_setting_is_m1():
    config, m1 = load(FOLDER / "rotations.toml"), ROTATIONS["M1"]
    encoder = config.model.encoder
    assert (config.preprocess.crop, encoder.rotations, encoder.jitter_turns) == (m1.crop, m1.views, m1.jitter_turns)
    assert config.training == Scale().training
