"""A toolkit that is too old, or not there, is refused by name with the version that works: that of its extra."""

from __future__ import annotations

import importlib
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from interank.errors import InputError

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EXTRAS = ("langchain", "llama-index", "haystack", "pyterrier", "rerankers", "mteb")


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("found", ["0.0.9rc1", ""])
def test_a_toolkits_version_is_told(extra: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, works = PROJECT["optional-dependencies"][extra][0].split(">=")

    real = metadata.version

    def version(name: str) -> str:
        if name == package and not found:
            raise metadata.PackageNotFoundError(name)
        return found if name == package else real(name)

    monkeypatch.setattr(metadata, "version", version)
    # An old one has its modules, but not what is in them; one that is not there has none.
    for name in [name for name in sys.modules if name.split(".")[0] in (extra.replace("-", "_"), f"{extra}_core")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, f"{extra}_core" if extra == "langchain" else extra.replace("-", "_"), None)
    module = f"interank.integrations.{extra.replace('-', '_')}"
    monkeypatch.delitem(sys.modules, module, raising=False)
    said = f"found {package} 0.0.9rc1, but interank needs {works} or later; pip install '{package}>={works}'"
    with pytest.raises(InputError) as refused:
        importlib.import_module(module)
    assert str(refused.value) == (said if found else f"{package} is not installed; pip install 'interank[{extra}]'")
