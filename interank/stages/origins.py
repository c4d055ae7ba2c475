"""The base and the training data of a model with their licences, as far as known here, for its card."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from interank import cards
from interank.artifact import MANIFEST, Artifact, open_artifact
from interank.engines.bases import base_name, stands_on
from interank.engines.licences import licence_of
from interank.engines.models import PEFT, ModelFiles, model_here
from interank.errors import ArtifactError, InputError, ModelError
from interank.judgments import each_judgment
from interank.resources import expanded, hub_name
from interank.wording import counted

log = logging.getLogger(__name__)

CARD = "README.md"
_UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Origin:
    """A base or a data set that a model was made of."""

    what: str
    licence: str
    """Empty where it is not known."""


def tell_origins(folder: Path, source: str | Path, *, base: str | None = None, named: str | None = None) -> None:
    """Complete a model's card: the base and its licence as metadata, and a table of all origins.

    Args:
        folder: The folder of the card.
        source: The model: an output of distill or rl, an adapter's or a model's folder, or a name on the hub.
        base: The adapter's base model, where it is not the recorded one; see `find_base`.
        named: The name of the base on the hub, where the caller gives one.
    """
    card: Any = ModelCard.load(folder / CARD)
    files = _base(source, base)
    licence = licence_of(files) if files else {}
    known = named or (files.name if files and files.origin != "folder" else card.data.base_model)
    if known:
        card.data.base_model = hub_name(known)[0]
    for key, value in licence.items():
        setattr(card.data, key, value)
    about = f"the base model{f' {hub_name(known)[0]}' if known else ''}"
    told = " ".join([licence.get(key, "") for key in ("license", "license_name", "license_link")]).strip()
    rows = [Origin(about, told), *_data(source)]
    table = cards.table(("made of", "licence"), ((row.what, row.licence or _UNKNOWN) for row in rows))
    card.text = f"{card.text.rstrip()}\n\n## Origins\n\n{table}\n"
    card.save(folder / CARD)


def _base(source: str | Path, base: str | None) -> ModelFiles | None:
    """The files of the base, or of a whole model; None where they are not here, or belong to another model."""
    path = expanded(str(source))
    try:
        artifact = open_artifact(path, "adapter") if (path / MANIFEST).is_file() else None
        adapter = artifact or (path if (path / PEFT).is_file() else None)
        files = model_here(base_name(adapter, base) if adapter else str(source))
        # A hub name keeps naming the same model; a folder may hold another one by now.
        moved = artifact and files and files.origin == "folder" and not base and not stands_on(artifact, files)
    except (ArtifactError, InputError, ModelError) as error:
        log.debug("the base of %s: %s", source, error)
        return None
    return None if moved else files


def _data(source: str | Path) -> list[Origin]:
    """The training data of an adapter; empty for a model that interank did not train."""
    path = expanded(str(source))
    if not (path / MANIFEST).is_file():
        return []
    artifacts, missing = open_artifact(path).ancestors("judgments")
    rows = [_judgments(artifact) for artifact in artifacts]
    if missing:
        rows.append(Origin(f"{counted(len(missing), 'set')} of judgments that are no longer here", ""))
    return rows or [Origin("training data other than judgments", "")]


def _judgments(artifact: Artifact) -> Origin:
    sites, licences = set[str](), Counter[str]()
    try:
        for each in each_judgment(artifact.path):
            sites.add(each.source.site)
            licences[each.source.licence] += 1
    except (InputError, OSError) as error:
        log.debug("%s: %s", artifact.path, error)
        return Origin("judgments that cannot be read", "")
    told = ", ".join(f"{name or _UNKNOWN} ({number})" for name, number in sorted(licences.items()))
    named = sorted(sites - {""})
    of = f" of texts of {', '.join(named)}" if named else ""
    return Origin(f"{counted(licences.total(), 'judgment')}{of}", told if any(licences) else "")
