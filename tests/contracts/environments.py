"""Runs the tests of each toolkit and client in an environment of its own: `python -m tests.contracts.environments`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import asdict
from pathlib import Path

from interank.engines.models import cache_dir
from tests.contracts.clients.expectations import Served, serving

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
_TESTS = Path(__file__).parent


def environment(name: str, package: str) -> Path:
    """The Python of a toolkit or client, made once; its packages come before those of this environment."""
    folder = cache_dir() / "contracts" / name
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


def main() -> int:
    """Every toolkit and client asked for; 1 if the tests of one fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*TOOLKITS, *CLIENTS]
    parser.add_argument("name", nargs="*", choices=[[], *every], help="toolkits and clients; all where none is named")
    names = parser.parse_args().name or every
    failed = [name for name in names if name in TOOLKITS and not _toolkit_passes(name)]
    if clients := [name for name in names if name in CLIENTS]:
        with serving() as served:
            failed += [name for name in clients if not _client_passes(name, served)]
    print(f"failed: {', '.join(failed)}" if failed else "all of them agree with interank")
    return int(bool(failed))


def _toolkit_passes(name: str) -> bool:
    package, test = TOOLKITS[name]
    return _passes(name, package, [_TESTS / "toolkits" / test, _TESTS / "toolkits" / "test_howto.py"], {})


def _client_passes(name: str, served: Served) -> bool:
    # Several clients leave their sockets open, which pytest finds when it ends.
    more = {"INTERANK_SERVED": json.dumps(asdict(served)), "PYTEST_ADDOPTS": "-W ignore::ResourceWarning"}
    if CLIENTS[name].startswith("npm "):
        if shutil.which("npm") is None:
            print("== npm: is not installed; its clients were not asked", flush=True)
            return True
        more["NODE_PATH"] = str(cache_dir() / "contracts" / name / "node_modules")
    return _passes(name, CLIENTS[name], [_TESTS / "clients"], more)


def _passes(name: str, package: str, tests: list[Path], more: dict[str, str]) -> bool:
    print(f"== {name}: {package}", flush=True)
    python = environment(name, package)
    command = [str(python), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", *map(str, tests)]
    return not subprocess.run(command, env=os.environ | more | {"PYTHONPATH": str(Path.cwd())}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
