"""What of an output goes to the hub, and that nothing in it tells of this machine."""

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
# What of an evaluation is the same wherever it was made; the page and the tables name inputs by path.
_RANKINGS = ("runs", "rankings", "metrics.json", "comparisons.json", "candidates.json", "per_query.jsonl")
_WORDS = (".json", ".jsonl", ".jinja", ".md", ".trec", ".txt", ".yaml")


def collected(source: Path, folder: Path, base: str | None) -> Literal["model", "dataset"]:
    """Copy what belongs to the repository; of which type that is.

    Args:
        source: The output.
        folder: Where to.
        base: The hub's name of what an adapter stands on, where that is said.

    Raises:
        ArtifactError: It is of a kind that is not pushed.
        InputError: An adapter's base has no name on the hub, or a file of the output stands elsewhere.
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
    """Stop at a link that leads out of the output: who made it may have meant a file of whoever pushes it.

    Raises:
        InputError: Names it.
    """
    home = source.resolve()
    for path in sorted(source.rglob("*")):
        if not (path.is_file() or path.is_dir()) or not path.resolve().is_relative_to(home):
            raise InputError(
                f"{path.relative_to(source)} of {source} is a link that leads out of it, or no file; put the file "
                "itself in its place before it is pushed"
            )


def _rename_base(folder: Path, own: str, told: str | None) -> None:
    """Have adapter and card name the hub's base.

    Raises:
        InputError: It stands in a folder here, and nobody says what it is called on the hub.
    """
    config = folder / "adapter_config.json"
    facts = json.loads(config.read_text("utf-8"))
    named = told or own
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
    """Stop where a file tells where it was made, or holds a key.

    Raises:
        InputError: Names the file and what stands in it.
    """
    places = {str(source.resolve()), str(source.resolve().parent), str(Path.cwd()), str(Path.home())}
    # A short path, as /root, is a word that any text may hold.
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
    """All files, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
