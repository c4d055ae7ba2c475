"""Runs each toolkit's tests in an environment of its own: `python -m tests.contracts.environments [NAME ...]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from interank.engines.models import cache_dir

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
_TESTS = Path(__file__).parent / "toolkits"


def environment(name: str, package: str) -> Path:
    """A toolkit's Python, made once; its packages come before those of this environment."""
    folder = cache_dir() / "contracts" / name
    python = folder / "bin" / "python"
    done = folder / ".installed"
    if done.is_file() and done.read_text() == package:
        return python
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
    done.write_text(package)
    return python


def main() -> int:
    """Every toolkit asked for; 1 if the tests of one fail."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[[], *TOOLKITS], help="toolkits; all where none is named")
    failed = []
    for name in parser.parse_args().name or TOOLKITS:
        package, test = TOOLKITS[name]
        print(f"== {name}: {package}", flush=True)
        python = environment(name, package)
        command = [str(python), "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
        command += [str(_TESTS / test), str(_TESTS / "test_howto.py")]
        if subprocess.run(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())}, check=False).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all toolkits agree with interank")
    return int(bool(failed))


if __name__ == "__main__":
    raise SystemExit(main())
