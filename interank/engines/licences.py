"""A model's licence, as far as its own files name it."""

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
# A name as the hub writes it, or a link; nothing that a card could render as markup.
_VALUE = re.compile(r"[\w.+:/@~-]{1,200}")


def licence_of(files: ModelFiles) -> dict[str, str]:
    """The licence in the model's card, by the hub's keys, or in its GGUF if converted from one; empty without any."""
    licence = _named(_metadata(files.folder / _CARD)) if (files.folder / _CARD).is_file() else {}
    gguf = None if licence else gguf_of(files)
    return _named({"license": _in_gguf(gguf)}) if gguf else licence


def _named(facts: Mapping[str, object]) -> dict[str, str]:
    """The licence and, if there are valid ones, its name and link (as for `other`); empty without a licence."""
    values = {key: str(facts[key]) for key in _KEYS if _VALUE.fullmatch(str(facts.get(key) or ""))}
    return values if "license" in values else {}


def _metadata(card: Path) -> Mapping[str, object]:
    try:
        return metadata_load(card) or {}
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        log.warning(
            "%s names no licence: its metadata cannot be read (%s); correct the YAML between its two lines of ---",
            *(card, type(error).__name__),
        )
        return {}


def _in_gguf(file: Path) -> object:
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("general.license")
    return field.contents() if field else None
