"""Under which licence a model is, as far as its own files say."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from huggingface_hub import metadata_load

from interank.engines.models import ModelFiles, gguf_of

log = logging.getLogger(__name__)

_CARD = "README.md"
_KEYS = ("license", "license_name", "license_link")
# A name as the hub writes it, or a link; nothing that a card could take for more than that.
_VALUE = re.compile(r"[\w.+:/@~-]{1,200}")


def licence_of(files: ModelFiles) -> dict[str, str]:
    """What the model's card says in the hub's keys, or the GGUF that it was converted from; empty if neither does."""
    found = _told(_metadata(files.folder / _CARD)) if (files.folder / _CARD).is_file() else {}
    gguf = None if found else gguf_of(files)
    return _told({"license": _in_gguf(gguf)}) if gguf else found


def _told(facts: Mapping[str, object]) -> dict[str, str]:
    """Its name, and where that is `other` the name and the link that stand for it."""
    values = {key: str(facts[key]) for key in _KEYS if _VALUE.fullmatch(str(facts.get(key) or ""))}
    return values if "license" in values else {}


def _metadata(card: Path) -> Mapping[str, object]:
    try:
        return metadata_load(card) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        log.warning(
            "%s tells no licence: its metadata cannot be read (%s); mend what stands between its two lines of ---",
            *(card, type(error).__name__),
        )
        return {}


def _in_gguf(file: Path) -> object:
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("general.license")
    return field.contents() if field else None
