"""Imports point downward: the layers of the design, read from the source with `ast`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {
    "words": {"alerts", "features", "config", "survey"},
    "arrays": {"sources", "data", "preprocessing", "models"},
    "products": {"bundle", "evaluation"},
    "verbs": {"training", "inference", "display"},
    "people": {"cli", "commands", "__main__"},
}
RANK = {name: rank for rank, names in enumerate(LAYERS.values()) for name in names}
FILES = sorted((ROOT / "tsc_core").rglob("*.py"))


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def unit(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "tsc_core" and len(parts) > 1 else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_points_upward(path):
    own = path.relative_to(ROOT / "tsc_core").parts[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in RANK, f"{own} has no place in the layers"
    for module in imported(path):
        other = unit(module)
        assert other is None or other not in RANK or RANK[other] <= RANK[own], f"{path.name} imports {module}"
        assert module.split(".")[0] != "streamlit", f"{path.name} imports streamlit"
        assert own != "inference" or other != "training"


@pytest.mark.parametrize(
    "path", sorted([*(ROOT / "pages").glob("*.py"), *(ROOT / "panels").glob("*.py")]), ids=lambda path: path.name
)
def test_a_page_imports_neither_torch_nor_another_page(path):
    assert not {module.split(".")[0] for module in imported(path)} & {"torch", "pages"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_loads_a_pickle(path):
    roots = {module.split(".")[0] for module in imported(path)}
    assert not roots & {"pickle", "joblib", "dill", "cloudpickle"}
    assert "torch.load(" not in path.read_text(encoding="utf-8")
