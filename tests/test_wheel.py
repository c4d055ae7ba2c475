"""The wheel, built and installed elsewhere: it brings its recipes and rewards, and takes no name but its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import interank

ROOT = Path(__file__).resolve().parents[1]


def command(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    done = command(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob("*.whl")
    return built


class Installed:
    """The wheel in a folder of its own, used from another folder that knows nothing of the checkout."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.target, self.elsewhere = folder / "installed", folder / "elsewhere"
        self.elsewhere.mkdir()
        done = command(
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-index", "--no-deps", "--target", self.target, wheel),
            cwd=self.elsewhere,
        )
        assert done.returncode == 0, done.stderr

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # -S leaves out the .pth file by which an editable install puts the checkout on the path; the dependencies
        # are added by hand. -P leaves out the current folder.
        libraries = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
        path = os.pathsep.join([str(self.target), *libraries])
        return command(sys.executable, "-S", "-P", *arguments, cwd=self.elsewhere, PYTHONPATH=path)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(wheel, tmp_path_factory.mktemp("wheel"))


def test_it_holds_what_it_needs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info = f"interank-{interank.__version__}.dist-info"
    bundled = {
        f"interank/_bundled/{path.relative_to(ROOT).as_posix()}"
        for folder in ("recipes", "rewards", "data")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"interank/py.typed", "interank/_bundled/recipes/demo.yaml", f"{info}/licenses/LICENSE"} <= names
    assert bundled <= names
    pages = ("interank/pages", "interank/evaluation/page", "interank/serving/page")
    assets = {path.relative_to(ROOT).as_posix() for page in pages for path in (ROOT / page / "assets").iterdir()}
    assert len(assets) > 25 and assets <= names
    assert {name.split("/")[0] for name in names} == {"interank", info}
    assert not [name for name in names if name.endswith(".pyc")]


def test_its_metadata(wheel: Path) -> None:
    info = f"interank-{interank.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
        entry_points = archive.read(f"{info}/entry_points.txt").decode("utf-8")
        licence = archive.read(f"{info}/licenses/LICENSE").decode("utf-8")
    assert metadata["Version"] == interank.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "interank = interank.cli.app:main" in entry_points
    assert "[vllm.general_plugins]\ninterank = interank.engines.vllm_plugin:register" in entry_points
    assert "Apache License" in licence


def test_it_is_the_wheel_that_is_tested(installed: Installed) -> None:
    done = installed.python("-c", "import interank; print(interank.__file__)")
    assert Path(done.stdout.strip()).is_relative_to(installed.target), done.stdout + done.stderr


@pytest.mark.parametrize("name", ["rewards", "recipes", "tests", "benchmarks"])
def test_it_takes_no_name_but_its_own(installed: Installed, name: str) -> None:
    done = installed.python("-c", f"import {name}")
    assert done.returncode != 0
    assert f"No module named '{name}'" in done.stderr


def test_recipes_are_found_from_anywhere(installed: Installed) -> None:
    done = installed.python("-m", "interank.cli.app", "recipes", "ls")
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_a_recipe_can_be_checked_from_anywhere(installed: Installed) -> None:
    done = installed.python("-m", "interank.cli.app", "check", "demo")
    assert done.returncode == 0, done.stderr
