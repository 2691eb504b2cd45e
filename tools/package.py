"""Builds what is deployed, into dist/: python -m tools.package [--out DIR].

    flowlake-VERSION-py3-none-any.whl   the wheel that Glue installs (--extra-py-files, or --additional-python-modules)
    flowlake-lambda.zip                 the inventory Lambdas: flowlake.lake, flowlake.inventory and what they need

The same source gives the same bytes: names are sorted, times and modes fixed. boto3 is not in the zip, Lambda has it.
What else the zip carries comes from this environment, where pyproject.toml pins it (extra "lambda").
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OF_THE_WHEEL = ("pyproject.toml", "README.md", "LICENSE", "flowlake")
OF_THE_LAMBDA = ("flowlake/__init__.py", "flowlake/lake", "flowlake/inventory")
LAMBDA_NEEDS = ("aws-lambda-powertools", "jmespath", "typing-extensions")
LAMBDA_BYTES_AT_MOST = 4_000_000

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_FILE_MODE = 0o100644 << 16
_LEFT_OUT = ("__pycache__", ".egg-info")
_OF_AN_INSTALLATION = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


class CannotPackage(Exception):
    """Something that belongs into the package is not as it should be."""


def wheel(source: Path, out: Path) -> Path:
    """Builds the wheel of a source tree, in a copy of it: a build leaves nothing in the tree, nor takes from it what is
    not source. Links (flowlake/flows/expectations) are followed."""
    with tempfile.TemporaryDirectory(prefix="flowlake-wheel-") as folder:
        copy, built = Path(folder, "source"), Path(folder, "built")
        for name in OF_THE_WHEEL:
            _copy(source / name, copy / name)
        built.mkdir()
        build = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
        done = subprocess.run([sys.executable, "-c", build, str(built)], cwd=copy, capture_output=True, text=True)
        if done.returncode:
            raise CannotPackage(f"the wheel could not be built:\n{done.stderr}")
        (made,) = built.glob("*.whl")
        with zipfile.ZipFile(made) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
        for name in [name for name in members if name.endswith(".dist-info/RECORD")]:
            members[name] = b"".join(sorted(members[name].splitlines(keepends=True)))
        return _write(out / made.name, members)


def lambda_zip(source: Path, out: Path) -> Path:
    """The zip of the inventory Lambdas. Raises CannotPackage where it grew beyond what was promised."""
    members = {}
    for name in OF_THE_LAMBDA:
        members.update(_files(source / name, source))
    for needed in LAMBDA_NEEDS:
        found = distribution(needed)
        for file in found.files or ():
            kept = not file.is_absolute() and ".." not in file.parts and file.suffix != ".pyc"
            if kept and file.name not in _OF_AN_INSTALLATION:
                members[file.as_posix()] = Path(str(found.locate_file(file))).read_bytes()
    made = _write(out / "flowlake-lambda.zip", members)
    size = made.stat().st_size
    if size > LAMBDA_BYTES_AT_MOST:
        raise CannotPackage(f"{made.name} has {size:,} bytes, more than {LAMBDA_BYTES_AT_MOST:,}")
    return made


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info"))
    elif source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    else:
        raise CannotPackage(f"{source} is not there")


def _files(place: Path, root: Path) -> dict[str, bytes]:
    """The files at or under a place, by their names relative to root."""
    paths: Iterable[Path] = [place] if place.is_file() else place.rglob("*")
    wanted = [path for path in paths if path.is_file() and not any(part.endswith(_LEFT_OUT) for part in path.parts)]
    if not wanted:
        raise CannotPackage(f"{place} holds no file")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in wanted}


def _write(place: Path, members: Mapping[str, bytes]) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr, entry.create_system, entry.compress_type = _FILE_MODE, 3, zipfile.ZIP_DEFLATED
            archive.writestr(entry, members[name])
    return place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.package", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    out = parser.parse_args().out
    try:
        for made in (wheel(ROOT, out), lambda_zip(ROOT, out)):
            digest = hashlib.sha256(made.read_bytes()).hexdigest()
            print(f"{os.path.relpath(made)}  {made.stat().st_size:,} bytes  sha256 {digest}")
    except CannotPackage as error:
        print(f"package: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
