"""What the repository may hold: small files, no path of a machine, no pickle, links that lead somewhere."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MEGABYTE = 1e6
MACHINE = re.compile(rf"(?<![\w.])/({'|'.join(('work', 'root', 'farm'))})/|/tmp/" + r"v/")
PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".npy", ".ckpt", ".h5"}
PAGES = [*(ROOT / "pages").glob("*.py"), *(ROOT / "panels").glob("*.py"), ROOT / "app.py", ROOT / "serve.py"]
CODE = sorted([*(ROOT / "tsc_core").rglob("*.py"), *PAGES])
PACKETS = ROOT / "tsc_core" / "sources" / "demo.tar.gz"


def tracked() -> list[Path]:
    """Files in git."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_readme_says_how_to_begin():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make app" in text
    assert "make test" in text


def test_no_file_names_a_place_on_one_machine():
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found = MACHINE.search(text)
        assert not found, (
            f"{path.relative_to(ROOT)}: {found.group()} in line {text[: found.start()].count(chr(10)) + 1}"
        )


def test_no_pickle_is_kept():
    for path in tracked():
        assert path.suffix not in PICKLES, path
        with path.open("rb") as file:
            assert not re.match(rb"\x80[\x02-\x05][\x95cq}(]", file.read(3)), f"{path} begins as a pickle does"


def test_files_are_small():
    sizes = {path: path.stat().st_size for path in tracked()}
    in_checkpoints = {path: size for path, size in sizes.items() if path.is_relative_to(ROOT / "checkpoints")}
    for path, size in sizes.items():
        if path != PACKETS and path not in in_checkpoints:
            assert size <= 3 * MEGABYTE, f"{path.relative_to(ROOT)}: {size / MEGABYTE:.1f} MB"
    assert sizes.get(PACKETS, 0) <= 8 * MEGABYTE
    assert sum(in_checkpoints.values()) <= 40 * MEGABYTE


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            assert node.end_lineno - first + 1 <= 60, f"{node.name}: {node.end_lineno - first + 1} lines"


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_in_its_first_line_what_it_is_for(path):
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert said
    assert said.splitlines()[0].endswith((".", ":"))


def test_the_readme_leads_to_every_document_and_notebook():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = {(ROOT / link.partition("#")[0]).resolve() for link in re.findall(r"\]\(([^)\s]+)\)", text)}
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb")]:
        assert path in links, f"README.md does not lead to {path.relative_to(ROOT)}"


def anchors(path: Path) -> set[str]:
    """Names of the headings of a document, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), f"{link}: no such heading"
