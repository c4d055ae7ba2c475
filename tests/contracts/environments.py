"""Runs the tests of each toolkit and client in an environment of its own: `python -m tests.contracts.environments`."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.contracts.clients.expectations import Served, serving
from tests.contracts.presence import MADE_FOR

# A toolkit's packages, and the tests that need them; what interank itself needs is taken from this environment.
TOOLKITS: dict[str, tuple[str, str]] = {
    "langchain": ("langchain-core>=1.8", "test_langchain.py"),
    "rerankers": ("rerankers>=0.10", "test_rerankers.py"),
    "llama-index": ("llama-index-core>=0.14", "test_llama_index.py"),
    "haystack": ("haystack-ai>=3.4", "test_haystack.py"),
    "pyterrier": ("pyterrier>=1.1", "test_pyterrier.py"),
    "mteb": ("mteb>=2.26", "test_mteb.py"),
    # Without vLLM, faiss and the rest: its data's forms need nothing of them.
    "rank-llm": ("--no-deps rank-llm>=0.25 dacite>=1.8", "test_rank_llm.py"),
}
# The packages of what asks `interank serve`; npm stands before those for Node.
CLIENTS: dict[str, str] = {
    "cohere": "cohere>=7",
    "cohere-5": "cohere>=5,<6",
    "langchain-clients": "langchain-cohere>=0.6 langchain-nvidia-ai-endpoints>=1.5",
    "llama-index-clients": " ".join(
        f"llama-index-postprocessor-{name}-rerank" for name in ("cohere", "jinaai", "tei", "nvidia", "voyageai")
    ),
    "haystack-clients": "cohere-haystack jina-haystack nvidia-haystack",
    "voyageai": "voyageai>=0.5",
    "litellm": "litellm>=1.110",
    "infinity": "infinity_client>=0.0.78",
    "rerankers-clients": "rerankers>=0.10",
    "npm": "npm cohere-ai voyageai",
    "schemathesis": "schemathesis>=4.32",
    # A server, which asks nothing itself.
    "granian": "granian>=2.8",
}
# Programs that tests of clients run; those of the code that the server's page gives to copy need the first two.
PROGRAMS = {"cohere": ("node", "curl"), "cohere-5": ("node", "curl"), "npm": ("npm", "node")}
_TESTS = Path(__file__).parent


def environment(name: str, package: str) -> Path:
    """The Python of a toolkit or client, made once; its packages come before those of this environment.

    It lies in this environment and goes with it: another's packages may be gone, and what was installed fits these.
    """
    folder = folder_of(name)
    done = folder / ".installed"
    of_node = package.split()[0] == "npm"
    python = Path(sys.executable) if of_node else folder / "bin" / "python"
    if done.is_file() and done.read_text() == package:
        return python
    if of_node:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder)]
        subprocess.run([*command, *package.split()[1:]], check=True)
    else:
        _make(folder, python, package)
    done.write_text(package)
    return python


def folder_of(name: str) -> Path:
    """Where the environment of a toolkit or client lies."""
    return Path(sys.prefix) / "contracts" / name


def _make(folder: Path, python: Path, package: str) -> None:
    venv.create(folder, with_pip=False)
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(own) / "interank-tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, *package.split()], check=True)


def names_of(packages: str) -> list[str]:
    """The names in a list of packages; npm stands before each of those for Node."""
    first, *others = packages.split()
    if first == "npm":
        return [f"npm {each}" for each in others]
    return [re.split("[<>=!~]", each)[0] for each in (first, *others) if not each.startswith("-")]


def verdict(asked: Sequence[str], failed: Sequence[str], lacking: Mapping[str, Sequence[str]]) -> str:
    """What came of the toolkits and clients that were asked, and what was not asked for want of a program."""
    told = [f"failed: {', '.join(failed)}"] if failed else []
    for name, programs in lacking.items():
        part = f"code of the server's page in {name}" if name in asked else name
        told.append(f"not asked: {part}, since {' and '.join(programs)} cannot be found")
    passed = [name for name in asked if name not in failed]
    if not told:
        return "all of them agree with interank"
    return "; ".join([*told, *([f"the tests of {', '.join(passed)} passed"] if passed else [])])


def main() -> int:
    """Every toolkit and client asked for; 1 if the tests of one fail, or none of one can be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*TOOLKITS, *CLIENTS]
    parser.add_argument("name", nargs="*", choices=[[], *every], help="toolkits and clients; all where none is named")
    names = parser.parse_args().name or every
    lacking = {name: lacks for name in names if (lacks := _lacking(name))}
    asked = [name for name in names if name not in lacking or not _of_node(name)]
    failed = [name for name in asked if name in TOOLKITS and not _toolkit_passes(name)]
    if clients := [name for name in asked if name in CLIENTS]:
        with serving() as served:
            failed += [name for name in clients if not _client_passes(name, served)]
    print(verdict(asked, failed, lacking))
    return int(bool(failed) or asked != names)


def _lacking(name: str) -> list[str]:
    return [program for program in PROGRAMS.get(name, ()) if shutil.which(program) is None]


def _of_node(name: str) -> bool:
    return CLIENTS.get(name, "").startswith("npm ")


def _toolkit_passes(name: str) -> bool:
    package, test = TOOLKITS[name]
    return _passes(name, package, [_TESTS / "toolkits" / test, _TESTS / "toolkits" / "test_howto.py"], {})


def _client_passes(name: str, served: Served) -> bool:
    # Several clients leave their sockets open, which pytest finds when it ends.
    more = {"INTERANK_SERVED": json.dumps(asdict(served)), "PYTEST_ADDOPTS": "-W ignore::ResourceWarning"}
    if _of_node(name):
        more["NODE_PATH"] = str(folder_of(name) / "node_modules")
    return _passes(name, CLIENTS[name], [_TESTS / "clients"], more)


def _passes(name: str, package: str, tests: list[Path], more: dict[str, str]) -> bool:
    print(f"== {name}: {package}", flush=True)
    python = environment(name, package)
    command = [str(python), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *map(str, tests)]
    given = {"PYTHONPATH": str(Path.cwd()), MADE_FOR: json.dumps(["interank", *names_of(package)])}
    return not subprocess.run(command, env=os.environ | more | given, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
