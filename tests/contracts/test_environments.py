"""An environment's packages are all asked, and where something is not, nothing says that all of them agree."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts import environments
from tests.contracts.clients.asking import CLIENTS
from tests.contracts.environments import CLIENTS as OF_CLIENTS
from tests.contracts.environments import PROGRAMS, TOOLKITS, environment, main, names_of, verdict
from tests.contracts.presence import MADE_FOR, found, need

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]


def needed(files_of_tests: str) -> set[str]:
    """What files of tests say that they need."""
    files = [path.read_text("utf-8") for path in FOLDER.glob(files_of_tests)]
    return {name for text in files for name in re.findall(r'^need\("(.+)"\)$', text, re.MULTILINE)}


def test_each_package_of_an_environment_is_asked() -> None:
    of_clients = {name for packages in OF_CLIENTS.values() for name in names_of(packages)}
    assert of_clients == {client.needs for client in CLIENTS} - {"interank"} | needed("clients/test_*.py")
    for packages, file in TOOLKITS.values():
        assert needed(f"toolkits/{file}") == {names_of(packages)[0]}
    assert names_of("--no-deps rank-llm>=0.25 dacite>=1.8") == ["rank-llm", "dacite"]
    assert names_of("npm cohere-ai voyageai") == ["npm cohere-ai", "npm voyageai"]


def test_an_environment_goes_with_the_one_whose_packages_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(folder: Path, *_: object) -> None:
        made.append(folder)
        folder.mkdir(parents=True)

    monkeypatch.setattr(environments, "_make", make)
    for prefix in ("first", "first", "second"):
        monkeypatch.setattr(sys, "prefix", str(tmp_path / prefix))
        assert environment("cohere", "cohere>=7") == tmp_path / prefix / "contracts" / "cohere" / "bin" / "python"
    assert made == [tmp_path / prefix / "contracts" / "cohere" for prefix in ("first", "second")]


@pytest.mark.parametrize("package", ["nowhere-to-be-found", "npm nowhere"])
def test_what_is_missing_is_an_error_in_the_environment_that_was_made_for_it(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not found(package) and found("pytest")
    monkeypatch.setenv(MADE_FOR, json.dumps([package]))
    for asks in (found, need):
        with pytest.raises(ModuleNotFoundError, match=f"{package} is not found in the environment that was made for"):
            asks(package)


def test_the_tests_of_clients_fail_where_one_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    command += [str(FOLDER / "clients" / "test_clients.py")]
    environment = os.environ | {MADE_FOR: json.dumps(["npm voyageai"]), "NODE_PATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2 and "npm voyageai is not found in the environment" in done.stdout, done.stdout


def test_without_npm_its_clients_are_said_not_to_have_been_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["environments", "npm"])
    assert main() == 1
    assert capfd.readouterr().out == "not asked: npm, since npm and node cannot be found\n"


def test_the_verdict_names_what_was_not_asked() -> None:
    assert verdict(["cohere", "npm"], [], {}) == "all of them agree with interank"
    assert verdict(["cohere"], [], {"cohere": ["node"]}) == (
        "not asked: code of the server's page in cohere, since node cannot be found; the tests of cohere passed"
    )
    assert verdict(["voyageai", "cohere"], ["cohere"], {"npm": ["npm"]}) == (
        "failed: cohere; not asked: npm, since npm cannot be found; the tests of voyageai passed"
    )
    assert set(PROGRAMS) <= set(OF_CLIENTS)
