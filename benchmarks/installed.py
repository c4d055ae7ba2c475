"""What interank stands on: each package's licence, hashes to install the same by, and whether an audit can be made."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 60
_VERSION = "https://pypi.org/pypi/pip/24.0/json"
_SECONDS = 15.0


def main() -> int:
    """Print one of the two, or stop where known vulnerabilities are not told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["licences", "hashes", "advisories"])
    what = parser.parse_args().what
    if what == "advisories":
        require_advisories()
        return 0
    for line in licences() if what == "licences" else hashes():
        print(line)
    return 0


def licences() -> Iterator[str]:
    """Name, version and licence of interank's dependencies and theirs, as far as they are installed."""
    for found in sorted(_needed("interank"), key=lambda each: canonicalize_name(each.name)):
        yield f"{canonicalize_name(found.name)}\t{found.version}\t{licence(found)}"


def licence(found: Distribution) -> str:
    """What a package says of its licence: the expression, else the classifiers, else the first line of the text."""
    about = found.metadata
    classified = [each.rpartition(" :: ")[2] for each in about.get_all("Classifier") or () if "License ::" in each]
    told = about.get("License-Expression") or ", ".join(classified) or (about.get("License") or "").strip()
    return " ".join(told.partition("\n")[0].split())[:_LONGEST] or "not told"


def _needed(name: str, extras: frozenset[str] = frozenset()) -> list[Distribution]:
    """The packages that one needs, each once, itself left out."""
    seen: dict[str, Distribution] = {}
    waiting = [(name, extras)]
    while waiting:
        name, extras = waiting.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:
            # Of another platform, or an extra that was not asked for.
            continue
        for text in found.requires or ():
            need = Requirement(text)
            if need.marker and not any(need.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            if (key := canonicalize_name(need.name)) not in seen:
                waiting.append((need.name, frozenset(need.extras)))
                try:
                    seen[key] = distribution(need.name)
                except PackageNotFoundError:
                    continue
    return list(seen.values())


def hashes() -> Iterator[str]:
    """What the index would give at the tested versions, with sha256 where it tells one; pip's requirements.

    Installs nothing: pip resolves, and reports what it found.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        told = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        asked = [sys.executable, "-m", "pip", "install", *told, "-c", str(ROOT / "constraints.txt"), str(ROOT)]
        subprocess.run(asked, check=True)
        for item in json.loads(report.read_text("utf-8"))["install"]:
            about, source = item["metadata"], item["download_info"]
            if canonicalize_name(about["name"]) == "interank":
                continue
            digest = source.get("archive_info", {}).get("hashes", {}).get("sha256")
            known = f" --hash=sha256:{digest}" if digest else "  # the index tells no hash"
            yield f"{canonicalize_name(about['name'])}=={about['version']}{known}"


def require_advisories(page: str = _VERSION) -> None:
    """Stop where the pages from which pip-audit takes known vulnerabilities are not given, as on a mirror.

    Args:
        page: That of a version of a package.

    Raises:
        SystemExit: Says that nothing was compared, and why.
    """
    try:
        with urllib.request.urlopen(page, timeout=_SECONDS) as answer:
            told = json.load(answer)
        why = "" if isinstance(told, dict) and "vulnerabilities" in told else "it tells none"
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        raise SystemExit(
            f"make audit: nothing was compared with the known vulnerabilities, which pip-audit takes from pages as "
            f"{page} ({why}); run it where pypi.org itself answers, a mirror of its files is not enough"
        )


if __name__ == "__main__":
    sys.exit(main())
