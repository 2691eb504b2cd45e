"""What is deployed: the same source gives the same bytes, and they work where they are put."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest

from tools.package import LAMBDA_NEEDS, OF_THE_WHEEL, ROOT, CannotPackage, lambda_zip, wheel


@pytest.fixture(scope="module")
def other_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same source elsewhere, written in another order, at another time, with leftovers of running it."""
    tree = tmp_path_factory.mktemp("elsewhere") / "tree"
    for name in reversed(OF_THE_WHEEL):
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, tree / name)
        else:
            tree.mkdir(exist_ok=True)
            shutil.copy(place, tree / name)
    for path in tree.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    left = tree / "flowlake" / "lake" / "__pycache__" / "left.cpython-311.pyc"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"x")
    return tree


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    out = tmp_path_factory.mktemp("dist")
    return wheel(ROOT, out), lambda_zip(ROOT, out)


def run_in(folder: Path, code: str) -> str:
    """Runs code that finds flowlake in this folder (or zip) and libraries in this environment."""
    place = repr(str(folder))
    begin = f"import sys; sys.path.insert(0, {place}); import flowlake; assert {place} in flowlake.__file__\n"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", begin + code], cwd=folder.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_source_gives_the_same_bytes(built: tuple[Path, Path], other_tree: Path, tmp_path: Path) -> None:
    again = wheel(other_tree, tmp_path), lambda_zip(other_tree, tmp_path)
    for first, second in zip(built, again, strict=True):
        assert first.name == second.name
        assert first.read_bytes() == second.read_bytes()


def test_the_wheel_brings_its_data(built: tuple[Path, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        archive.extractall(tmp_path / "site")
    code = """
from flowlake.commands.duck import saved_view
from flowlake.flows.audit import suite
from flowlake.flows.publish import PUBLISHED
print(len(saved_view("flow_documents")) > 0, all(suite(table).expectations for table in PUBLISHED))
"""
    assert run_in(tmp_path / "site", code) == "True True\n"


def test_the_wheel_reads_flow_logs_without_being_unpacked(built: tuple[Path, Path]) -> None:
    """As Glue puts it on the path with --extra-py-files: there is no place in it to keep what is compiled."""
    code = """
import io
from flowlake.flows.read import read_blocks
(block,) = read_blocks(io.BytesIO(b"srcaddr bytes\\n10.0.0.1 5\\n"), "x")
print(block.records.to_pylist())
"""
    assert run_in(built[0], code) == "[{'srcaddr': '10.0.0.1', 'bytes': 5}]\n"


def test_the_wheel_holds_every_data_file_of_the_source(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        packed = set(archive.namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for ending in ("py", "json", "sql", "yaml")
        for path in (ROOT / "flowlake").rglob(f"*.{ending}")
    }
    assert source <= packed
    assert not [name for name in packed if "__pycache__" in name or name.startswith("tests")]


def test_the_lambdas_zip_imports_without_pandas_and_pyarrow(built: tuple[Path, Path]) -> None:
    code = """
import aws_lambda_powertools, jmespath
import flowlake.inventory.handler
from flowlake.lake.contracts import contract, tables
assert all(contract(table).columns for table in tables())
heavy = {"pandas", "numpy", "pyarrow", "pyspark", "duckdb"} & set(sys.modules)
print(sorted(heavy), *("flowlake-lambda.zip" in module.__file__ for module in (aws_lambda_powertools, jmespath)))
"""
    assert run_in(built[1], code) == "[] True True\n"
    assert built[1].stat().st_size < 4_000_000


def test_the_lambdas_zip_has_all_that_powertools_needs_and_no_boto3(built: tuple[Path, Path]) -> None:
    needed = {
        line.split("<")[0].split(">")[0].split("=")[0]
        for line in requires("aws-lambda-powertools") or []
        if ";" not in line
    }
    assert needed | {"aws-lambda-powertools"} == set(LAMBDA_NEEDS)
    with zipfile.ZipFile(built[1]) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        inside = {name.split("/")[1] for name in archive.namelist() if name.startswith("flowlake/")}
    assert not {"boto3", "botocore", "pandas", "pyarrow"} & tops
    assert inside == {"__init__.py", "lake", "inventory"}


def test_a_tree_that_lacks_something_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(CannotPackage, match=r"pyproject\.toml is not there"):
        wheel(tmp_path, tmp_path / "out")
    with pytest.raises(CannotPackage, match="holds no file"):
        lambda_zip(tmp_path, tmp_path / "out")
