"""What stands beside an adapter or a merged model to say how it is used: its prompts, and the modes it has learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from interank import judging
from interank.errors import ArtifactError
from interank.recipe import PromptSettings

# A file of its own, because PEFT's configuration takes no keys that it does not know.
FILE = "interank.json"


@dataclass(frozen=True, slots=True)
class Use:
    """The prompts' settings, and what the model can be asked for."""

    prompt: PromptSettings
    modes: tuple[str, ...]


def save_use(folder: Path, use: Use) -> None:
    """Write it beside the weights."""
    facts = {
        "prompt_hash": judging.prompt_hash(fence=use.prompt.fence),
        "modes": list(use.modes),
        "prompt": use.prompt.model_dump(mode="json"),
    }
    (folder / FILE).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", "utf-8")


def read_use(folder: Path) -> Use | None:
    """What a folder says of its use; None where it says nothing.

    Raises:
        ArtifactError: It was trained on prompts of another wording, or the file cannot be read.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        facts = json.loads(file.read_text("utf-8"))
        modes: Sequence[str] = facts["modes"]
        use, wording = Use(PromptSettings.model_validate(facts["prompt"]), tuple(modes)), facts["prompt_hash"]
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise ArtifactError(f"{file} cannot be read ({type(error).__name__}); make the adapter or model anew") from None
    here = judging.prompt_hash(fence=use.prompt.fence)
    if wording != here:
        raise ArtifactError(
            f"{folder} was trained on another wording of the prompt ({wording}, here {here}); train "
            "it anew, or use the interank version that made it"
        )
    return use
