"""The file beside an adapter or a whole model that says how to use it: prompts and modes, or a head's pairs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interank import plain_data
from interank.errors import ArtifactError
from interank.settings import HeadSettings, PromptSettings

# A file of its own, because PEFT's configuration takes no keys that it does not know.
FILE = "interank.json"
_HEAD = "head"


@dataclass(frozen=True, slots=True)
class Use:
    """The settings of a model's prompts, and its modes."""

    prompt: PromptSettings
    modes: tuple[str, ...]


def save_use(folder: Path, use: Use) -> None:
    """Write it beside the weights."""
    facts = {
        "prompt_hash": use.prompt.wording,
        "modes": list(use.modes),
        "prompt": use.prompt.model_dump(mode="json"),
    }
    (folder / FILE).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")


def read_use(folder: Path) -> Use | None:
    """How to use the model in a folder; None if the folder does not say.

    Raises:
        ArtifactError: It was trained on prompts of another wording, or the file cannot be read.
    """
    facts = _facts(folder)
    if facts is None:
        return None
    if _HEAD in facts:
        raise ArtifactError(f"{folder} is a pointwise head, which reads pairs and no prompts; use it in mode score")
    try:
        modes, wording = facts["modes"], facts["prompt_hash"]
        if not (isinstance(modes, list) and all(isinstance(each, str) for each in (*modes, wording))):
            raise TypeError
        use = Use(PromptSettings.model_validate(facts["prompt"]), tuple(modes))
    except (KeyError, TypeError, ValidationError) as error:
        raise _unreadable(folder, error) from None
    here = use.prompt.wording
    if wording != here:
        raise ArtifactError(
            f"{folder} was trained on another wording of the prompt ({wording}, here {here}); train "
            "it anew, or use the interank version that made it"
        )
    return use


def save_head(folder: Path, settings: HeadSettings) -> None:
    """Write beside the weights of a pointwise head how it reads a pair."""
    facts = {_HEAD: settings.model_dump(mode="json")}
    (folder / FILE).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")


def read_head(folder: Path) -> HeadSettings | None:
    """How the head in a folder reads a pair; None if the folder does not say, or holds no head.

    Raises:
        ArtifactError: The file cannot be read.
    """
    facts = _facts(folder)
    if facts is None or _HEAD not in facts:
        return None
    try:
        return HeadSettings.model_validate(facts[_HEAD])
    except ValidationError as error:
        raise _unreadable(folder, error) from None


def _facts(folder: Path) -> dict[str, Any] | None:
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        facts = plain_data.parsed(file.read_bytes())
    except ValueError as error:
        raise _unreadable(folder, error) from None
    if not isinstance(facts, dict):
        raise _unreadable(folder, TypeError())
    return facts


def _unreadable(folder: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{folder / FILE} cannot be read ({type(error).__name__}); make the adapter or model anew")
