"""The files of an output that go to the hub, and the check that none of them names this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

from interank.artifact import MANIFEST, open_artifact
from interank.cards import save_card
from interank.errors import ArtifactError, InputError
from interank.redaction import TOKEN
from interank.resources import expanded, hub_name
from interank.stages.origins import CARD
from interank.stages.pushed_results import results_card

_EXPORT = "export.json"
# The files of an evaluation that do not depend on the machine; the page and the tables name inputs by path.
_RANKINGS = ("runs", "rankings", "metrics.json", "comparisons.json", "candidates.json", "per_query.jsonl")
_WORDS = (".json", ".jsonl", ".jinja", ".md", ".trec", ".txt", ".yaml")


def collected(source: Path, folder: Path, base: str | None) -> Literal["model", "dataset"]:
    """Copy the files that belong into the repository, and return the repository's type.

    Args:
        source: The output.
        folder: The folder to copy to.
        base: The hub's name of an adapter's base model, where the caller gives one.

    Raises:
        ArtifactError: The output is of a kind that is not pushed.
        InputError: An adapter's base has no name on the hub, or the output links to a file outside of it.
    """
    _refuse_elsewhere(source)
    if (source / _EXPORT).is_file():
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return "model"
    if not (source / MANIFEST).is_file():
        raise ArtifactError(f"{source} is no output of interank; give one of distill, rl, generate, evaluate or export")
    artifact = open_artifact(source)
    if artifact.kind == "adapter":
        shutil.copytree(source / "adapter", folder, dirs_exist_ok=True)
        shutil.copy(source / CARD, folder / CARD)
        _rename_base(folder, str(artifact.manifest["base"]), base)
        return "model"
    if artifact.kind == "judgments":
        for path in sorted(source.iterdir()):
            if path.suffix in (".parquet", ".md"):
                shutil.copy(path, folder / path.name)
        return "dataset"
    if artifact.kind == "evaluation":
        for name in _RANKINGS:
            if (source / name).is_dir():
                shutil.copytree(source / name, folder / name)
            elif (source / name).is_file():
                shutil.copy(source / name, folder / name)
        save_card(results_card(source), folder)
        return "dataset"
    raise ArtifactError(
        f"{source} holds {artifact.kind}, and adapters, exports, judgments and evaluations are pushed; give one of them"
    )


def _refuse_elsewhere(source: Path) -> None:
    """Refuse links that lead out of the output: its maker may be after a file of the person who pushes it.

    Raises:
        InputError: Names the link.
    """
    home = source.resolve()
    for path in sorted(source.rglob("*")):
        if not (path.is_file() or path.is_dir()) or not path.resolve().is_relative_to(home):
            raise InputError(
                f"{path.relative_to(source)} of {source} is a link that leads out of it, or no file; put the file "
                "itself in its place before it is pushed"
            )


def _rename_base(folder: Path, own: str, given: str | None) -> None:
    """Write the hub's name of the base into adapter and card.

    Raises:
        InputError: The base is a folder, and its name on the hub is not given.
    """
    config = folder / "adapter_config.json"
    facts = json.loads(config.read_text("utf-8"))
    named = given or own
    if expanded(named).exists() or named.startswith(("/", ".", "~")):
        raise InputError(
            f"this adapter stands on {own}, a folder of this machine; say what that is on the hub with --base-name "
            "OWNER/MODEL"
        )
    before = str(facts.get("base_model_name_or_path") or "")
    repo, revision = hub_name(named)
    facts |= {"base_model_name_or_path": repo, "revision": revision}
    config.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
    card = folder / CARD
    text = card.read_text("utf-8")
    for name in sorted({own, before} - {"", named, repo}, key=len, reverse=True):
        text = text.replace(name, named)
    card.write_text(text, "utf-8")


def refuse_traces(folder: Path, source: Path) -> None:
    """Refuse files that hold a path of this machine, or a key.

    Raises:
        InputError: Names the file, and the path or key.
    """
    places = {str(source.resolve()), str(source.resolve().parent), str(Path.cwd()), str(Path.home())}
    # Any text may hold a short path such as /root.
    traces = [f"{place}/" for place in places if place.count("/") > 1] + [str(source.resolve())]
    for path in files_of(folder):
        if path.suffix not in _WORDS:
            continue
        text = path.read_text("utf-8", "replace")
        name = path.relative_to(folder)
        if secret := TOKEN.search(text):
            raise InputError(
                f"{name} holds what looks like a key ({secret[0][:6]}...); take it out before it is pushed"
            )
        if trace := next((place for place in traces if place in text), None):
            raise InputError(f"{name} names a path of this machine ({trace}); take it out before it is pushed")


def files_of(folder: Path) -> list[Path]:
    """All files, sorted by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
