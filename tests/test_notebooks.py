"""Every notebook runs from top to bottom, offline, and is kept without outputs."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NEEDED = ("nbclient", "ipykernel", "matplotlib")
TIMEOUT = 240  # seconds for one cell


def each(function):
    return pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)(function)


def test_there_is_a_notebook_for_each_task():
    expected = {"explore_one_object", "train_and_compare", "evaluate_your_packets", "build_training_set"}
    assert expected <= {path.stem for path in NOTEBOOKS}


@each
def test_outputs_are_stripped(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], f"cell {cell['id']} has outputs"
            assert cell["execution_count"] is None, f"cell {cell['id']} has a number"
    assert len({cell["id"] for cell in cells}) == len(cells)


@each
@pytest.mark.timeout(600)
def test_it_runs(path, tmp_path, monkeypatch):
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: notebooks cannot be run (pip install -e '.[dev]')")
    import nbformat
    from nbclient import NotebookClient

    for name in ("TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path))  # what the notebook leaves behind goes with the test
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # Streamlit's tests set another
    notebook = nbformat.read(path, as_version=4)
    options = {"kernel_name": "python3", "timeout": TIMEOUT, "resources": {"metadata": {"path": str(path.parent)}}}
    NotebookClient(notebook, **options).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs
    if path.stem != "build_training_set":
        assert any("image/png" in output.get("data", {}) for output in outputs), "no figure was drawn"
    said = "".join(output["text"] for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert "Traceback" not in said
    assert "Warning" not in said
