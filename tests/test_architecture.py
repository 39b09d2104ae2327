"""The arrows between modules point one way, files stay short, importing stays cheap."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: A module may import from its own line and the lines above it. The longest name that fits a module decides.
ORDER = [
    [
        *("autodiff.state", "autodiff.sample", "autodiff.changes", "autodiff.sources", "autodiff.readout"),
        "autodiff.sharing",
    ],
    ["autodiff.op"],
    ["autodiff.operators"],
    ["autodiff.tensor"],
    ["autodiff.engine", "autodiff.views", "autodiff.assignment"],
    ["autodiff.ops"],
    [
        "autodiff.transforms",
        "autodiff.check",
        "autodiff.anomaly",
        "autodiff.compile",
        "autodiff.draw",
        "autodiff.doctor",
    ],
    ["autodiff"],
    ["nn."],
    ["nn"],
    ["examples"],
]
PLACE = {name: i for i, names in enumerate(ORDER) for name in names}
MODULES = sorted(
    path.relative_to(ROOT) for folder in ("autodiff", "nn", "examples") for path in (ROOT / folder).rglob("*.py")
)
each_module = pytest.mark.parametrize("path", MODULES, ids=str)


def name_of(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def place(module: str) -> int:
    """Where a module stands in the order."""
    if module in PLACE:
        return PLACE[module]
    for known in sorted(PLACE, key=len, reverse=True):
        if module.startswith(known if known.endswith(".") else known + ".") and known != "autodiff":
            return PLACE[known]
    raise AssertionError(f"{module} has no place in ORDER: say what it may import, and who may import it")


def imports(source: str, module: str) -> Iterator[tuple[str, int]]:
    """Yield what a module's code imports of this project at run time, also inside functions, with line numbers."""
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            assert not node.level, f"{module}:{node.lineno} imports relatively; write the whole name"
            # `from autodiff import op` names a submodule where there is one, else something on the face.
            found = [f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in found if name.split(".")[0] in ("autodiff", "nn", "examples"))


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def wrong_imports(source: str, module: str) -> list[str]:
    """Return a sentence for every import that points the wrong way."""
    here = place(module)
    package = module.split(".")[0]
    wrong = []
    for name, line in imports(source, module):
        if name == package and module != package and package != "examples":
            wrong.append(f"{module}:{line} imports from the face {name}; import from the submodule")
        elif place(name) > here:
            wrong.append(f"{module}:{line} imports {name}, which stands above it")
    return wrong


@each_module
def test_imports_point_one_way(path: Path) -> None:
    assert wrong_imports((ROOT / path).read_text(encoding="utf-8"), name_of(path)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("autodiff.op", "from autodiff.tensor import Tensor"),
        ("autodiff.op", "import autodiff.tensor as tensor"),
        ("autodiff.op", "from autodiff import Tensor"),
        ("autodiff.op", "from autodiff import tensor"),
        ("autodiff.state", "import autodiff"),
        ("autodiff.tensor", "def method():\n    from autodiff.engine import backward"),
        ("autodiff.engine", "try:\n    from autodiff.ops.elementwise import add\nexcept ImportError:\n    pass"),
        ("autodiff.ops.linalg.solving", "from autodiff.draw import graph"),
        ("autodiff.draw.model", "from nn.module import Module"),
        ("autodiff", "import nn"),
        ("nn.layers", "from nn import Module"),
        ("nn.layers", "from examples.moons import plot"),
    ],
)
def test_a_planted_wrong_import_is_found(module: str, source: str) -> None:
    assert len(wrong_imports(f"import numpy as np\n{source}\n", module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("autodiff.op", "from autodiff.state import grad_mode"),
        ("autodiff.op", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from autodiff.tensor import Tensor"),
        ("autodiff.ops.linalg.solving", "from autodiff.ops.shaping.shapes import transpose"),
        ("autodiff", "from autodiff import draw, ops\nfrom autodiff.tensor import Tensor"),
        ("nn.layers", "from nn.module import Module\nfrom autodiff.tensor import Tensor"),
        ("examples.moons", "import autodiff, nn\nfrom autodiff import Tensor"),
    ],
)
def test_a_right_import_is_not(module: str, source: str) -> None:
    assert wrong_imports(source, module) == []


def test_a_module_without_a_place_is_found() -> None:
    with pytest.raises(AssertionError, match="no place"):
        place("autodiff.utils")


@each_module
def test_files_are_short(path: Path) -> None:
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= 450, f"{path} has {lines} lines: what second idea moved in?"


@each_module
def test_no_file_is_named_for_leftovers(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc"}


@pytest.mark.parametrize("package", ["autodiff", "nn"])
def test_importing_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"matplotlib", "graphviz", "pygraphviz", "tqdm", "torch", "sklearn", "scipy", "pandas", "IPython"}
    assert not heavy & set(done.stdout.split())


def test_autodiff_does_not_load_nn() -> None:
    code = "import sys, autodiff; print('nn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


LEAKS = """
import os, sys
import numpy as np
from autodiff import op
from autodiff.state import grad_mode, scope_path

def test_grad_mode(): grad_mode.set(False)
def test_scope(): scope_path.set(("left",))
def test_geterr(): np.seterr(divide="ignore")
def test_print(): np.set_printoptions(precision=3)
def test_random(): np.random.rand()
def test_recursion(): sys.setrecursionlimit(sys.getrecursionlimit() + 1)
def test_registry(): op(np.cbrt, lambda g, y, x: g, name="left")
def test_directory(): os.chdir("/")
def test_environment(): os.environ["LEFT"] = "1"
def test_nothing(): pass
def test_own_ops(own_ops): op(np.cbrt, lambda g, y, x: g, name="mine")
"""


def test_every_kind_of_leak_is_caught(tmp_path: Path) -> None:
    """The fixture that fails leaking tests is itself tried on tests that leak."""
    shutil.copy(ROOT / "tests/conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", ".", "."],
        cwd=tmp_path, capture_output=True, text=True, env={"PATH": "", "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"},
    )  # fmt: skip
    assert "11 passed, 9 errors" in done.stdout, done.stdout[-3000:] + done.stderr
