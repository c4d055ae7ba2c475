"""The inputs of a stage: each with its name and the function that opens it; all are opened before work begins."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from interank import machine
from interank.artifact import MANIFEST, Artifact, Kind, open_artifact
from interank.engines.folders import model_folder
from interank.errors import ArtifactError, InputError, InterankError, ModelError
from interank.judgments import each_judgment
from interank.pairs import read_pairs

# Imports that load torch are in the functions below: scoring stored runs needs no model, and they take seconds.
from interank.resources import expanded
from interank.settings import PromptSettings
from interank.wording import nearby, nearest

# PEFT's configuration file, which marks a folder as an adapter's.
_PEFT = "adapter_config.json"
# How to make a model that ranks from an artifact of another kind.
_MADE_INTO = {
    "judgments": "distill it: interank distill distill/smollm2 judgments={place} --out runs/student",
    "pairs": "have them judged (interank generate RECIPE pairs={place} --out runs/judgments), then distill",
    "questions": "make judgments of it (interank generate RECIPE dumps={place} --out runs/judgments), then distill",
    "evaluation": "give one of the adapters that it evaluated",
}

Form = Literal["file", "folder", "either", "name"]
"""What an input's path has to be; a `name` may be one on the hub, or any that its reader resolves."""


@dataclass(frozen=True, slots=True)
class Input:
    """An input of a stage: its name and path, what is expected there, and the function that opens it."""

    name: str
    """Its name in a manifest: the recipe's key, `runs.0` for one of several."""
    path: Path
    what: str
    """What is expected, in words, as "a TREC run"."""
    opened: Callable[[Path], object]
    """Reads as much of it as is needed to know that all of it can be used."""
    form: Form = "either"
    described: bool = True
    """Whether the manifest's inputs include it; models have other entries."""
    glance: Callable[[Path], object] | None = None
    """The quick part of `opened`, which loads no torch: whether the input exists and is of its kind."""


def check_inputs(inputs: Iterable[Input], *, glance: bool = False) -> None:
    """Open every input; with `glance` only check that each exists and is of its kind, which loads no torch.

    Raises:
        InterankError: An input cannot be used; several faults get a line each.
    """
    faults = [fault for each in inputs if (fault := _fault(each, each.glance if glance else each.opened)) is not None]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise InputError("\n".join(dict.fromkeys(map(str, faults))))


def _fault(source: Input, opened: Callable[[Path], object] | None) -> InterankError | None:
    wrong = None if source.form == "name" else _wrong_path(source)
    if wrong is not None:
        return InputError(f"{source.name}: {source.path} {wrong}; give the path of {source.what}")
    if opened is None:
        return None
    try:
        opened(source.path)
    except InterankError as error:
        return error
    except (OSError, ValueError) as error:
        if machine.fault(error):
            raise
        reason = " ".join(str(error).split())[:200]
        return InputError(f"{source.name}: {source.path} cannot be read as {source.what} ({reason})")
    return None


def _wrong_path(source: Input) -> str | None:
    """The end of a sentence on what is wrong with the path; None if nothing is."""
    if not source.path.exists():
        return f"does not exist{nearby(source.path)}"
    if source.form == "folder" and not source.path.is_dir():
        return "is a file"
    if source.form == "file" and source.path.is_dir():
        return "is a folder"
    return None


def artifact(name: str, path: Path, kind: Kind) -> Input:
    """An output of an earlier stage, complete and of this kind."""
    # `open_artifact` reports a missing one better, with an unfinished one beside it.
    opened = partial(open_artifact, kind=kind)
    return Input(name, path, f"an artifact of {kind}", opened, "name", glance=opened)


def judgments(path: Path, *, file: str | None = None, reason: str = "") -> Input:
    """An output of generate with judgments of the training split; a required further `file` comes with its `reason`."""

    def opened(place: Path) -> None:
        open_artifact(place, "judgments")
        if file is not None and not (place / file).is_file():
            raise InputError(f"{place} holds no {file}; {reason}")
        # Reads all of them, since any line may be unreadable.
        if not sum(1 for _ in each_judgment(place, "train")):
            raise InputError(f"{place} holds no judgments of the training split; lower mining.validation_share")

    kind = partial(open_artifact, kind="judgments")
    return Input("judgments", path, "judgments, an output of interank generate", opened, "name", glance=kind)


def mined_pairs(path: Path) -> Input:
    """An output of `interank generate --mine-only`."""

    def opened(place: Path) -> None:
        open_artifact(place, "pairs")
        if next(read_pairs(place), None) is None:
            raise InputError(f"{place} holds no pairs, so there is nothing to judge; mine them anew")

    kind = partial(open_artifact, kind="pairs")
    return Input("pairs", path, "pairs, an output of interank generate --mine-only", opened, "name", glance=kind)


def named_as_they_stand(named: Iterable[Input]) -> list[Input]:
    """The inputs, with `described` false for those that are no local path but a name on the hub."""
    return [each if each.path.exists() else replace(each, described=False) for each in named]


def language_model(name: str, source: str, prompt: PromptSettings) -> Input:
    """A generative model for such prompts; checked if it is on this machine, not downloaded from the hub."""

    def opened(_: Path) -> None:
        from interank.engines.layers import allowed_of
        from interank.engines.models import check_writes, load_tokenizer, model_here
        from interank.engines.prompts import PromptEncoder
        from interank.engines.weights import model_weights

        files = model_here(source)
        if files is not None:
            allowed_of(files.name, files.folder)
            check_writes(files)
            model_weights(files.folder)
            PromptEncoder(load_tokenizer(files), prompt)

    return Input(
        name, Path(source), "a language model", opened, "name", described=False, glance=lambda _: model_folder(source)
    )


def adapter(name: str, path: Path, base: str | None = None) -> Input:
    """An output of distill or rl on the base that it was trained on; the base is checked if it is on this machine.

    `base` is the base model that the user named, if any; see `find_base`.
    """

    def opened(place: Path) -> None:
        from interank.engines.bases import check_base

        check_base(open_artifact(place, "adapter"), base)

    kind = partial(open_artifact, kind="adapter")
    return Input(name, path, "an adapter, an output of distill or rl", opened, "name", glance=kind)


def reranker(name: str, source: str, base: str | None = None) -> Input:
    """A model that ranks: an output of distill or rl, an adapter's or a model's folder, or a name on the hub."""
    path = expanded(source)

    def glance(_: Path) -> Artifact | None:
        if (path / MANIFEST).is_file():
            return _ranking(path)
        if not path.exists() and (near := nearest(path, lambda each: (each / MANIFEST).is_file())):
            raise ModelError(f"{path} does not exist; did you mean {near}?")
        if not (path / _PEFT).is_file():
            model_folder(source)
        return None

    def opened(place: Path) -> None:
        from interank.engines.bases import check_base
        from interank.engines.models import model_here
        from interank.engines.weights import ONNX, model_weights

        if artifact := glance(place):
            check_base(artifact, base)
        elif (path / _PEFT).is_file():
            check_base(path, base)
        # An ONNX graph contains its weights.
        elif (files := model_here(source)) and not (files.folder / ONNX).is_file():
            model_weights(files.folder)

    described = Path(source).exists()
    return Input(name, Path(source), "a model that ranks", opened, "name", described=described, glance=glance)


def _ranking(place: Path) -> Artifact:
    """Open an artifact that ranks.

    Raises:
        ArtifactError: It is of another kind; the message says how to make one that ranks from it.
    """
    opened = open_artifact(place)
    if opened.kind == "adapter":
        return opened
    make = _MADE_INTO.get(opened.kind, "give an output of distill or rl").format(place=shlex.quote(str(place)))
    raise ArtifactError(f"{place} holds {opened.kind}, where an adapter or a model that ranks is needed; {make}")


def classifier(name: str, source: str) -> Input:
    """A model that has, or can get, a head of one logit; checked if it is on this machine."""

    def opened(_: Path) -> None:
        from interank.engines.layers import head_options
        from interank.engines.models import load_tokenizer, model_here
        from interank.engines.weights import model_weights

        files = model_here(source)
        if files is not None:
            head_options(files.name, files.folder)
            model_weights(files.folder)
            load_tokenizer(files, writes=False)

    return Input(name, Path(source), "a model", opened, "name", described=False, glance=lambda _: model_folder(source))
