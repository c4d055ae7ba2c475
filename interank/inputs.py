"""What is read to make something: each input is named once, with what opens it, and opened before any work begins."""

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

# What runs models is imported where one is opened, since scoring stored runs needs none and takes seconds.
from interank.resources import expanded
from interank.settings import PromptSettings
from interank.wording import nearby, nearest

# What PEFT calls the file by which a folder is an adapter's; whoever reads it takes it from there.
_PEFT = "adapter_config.json"
# How what ranks is made of an artifact that does not.
_MADE_INTO = {
    "judgments": "distill it: interank distill distill/smollm2 judgments={place} --out runs/student",
    "pairs": "have them judged (interank generate RECIPE pairs={place} --out runs/judgments), then distill",
    "questions": "make judgments of it (interank generate RECIPE dumps={place} --out runs/judgments), then distill",
    "evaluation": "give one of the adapters that it evaluated",
}

Form = Literal["file", "folder", "either", "name"]
"""What stands at an input's path; a `name` may be one on the hub, or what its reader knows."""


@dataclass(frozen=True, slots=True)
class Input:
    """Something that is read: the key that names it, where it is, what is expected there and what opens it."""

    name: str
    """As a manifest names it: the recipe's key, `runs.0` of several."""
    path: Path
    what: str
    """In words, as "a TREC run"."""
    opened: Callable[[Path], object]
    """Reads as much of it as it takes to know that all of it can be used."""
    form: Form = "either"
    described: bool = True
    """Whether a manifest names it; of models it says more elsewhere."""
    glance: Callable[[Path], object] | None = None
    """As much of `opened` as is quickly told and loads nothing that runs models: what stands there, of which kind."""


def check_inputs(inputs: Iterable[Input], *, glance: bool = False) -> None:
    """Open every input; at a `glance` only see that each stands there and is of its kind, which loads nothing heavy.

    Raises:
        InterankError: One cannot be used; of several each gets a line.
    """
    faults = [fault for each in inputs if (fault := _fault(each, each.glance if glance else each.opened)) is not None]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise InputError("\n".join(dict.fromkeys(map(str, faults))))


def _fault(given: Input, opened: Callable[[Path], object] | None) -> InterankError | None:
    found = None if given.form == "name" else _standing(given)
    if found is not None:
        return InputError(f"{given.name}: {given.path} {found}; give the path of {given.what}")
    if opened is None:
        return None
    try:
        opened(given.path)
    except InterankError as error:
        return error
    except (OSError, ValueError) as error:
        if machine.fault(error):
            raise
        told = " ".join(str(error).split())[:200]
        return InputError(f"{given.name}: {given.path} cannot be read as {given.what} ({told})")
    return None


def _standing(given: Input) -> str | None:
    """What is wrong with what stands at the path; None if nothing is."""
    if not given.path.exists():
        return f"does not exist{nearby(given.path)}"
    if given.form == "folder" and not given.path.is_dir():
        return "is a file"
    if given.form == "file" and given.path.is_dir():
        return "is a folder"
    return None


def artifact(name: str, path: Path, kind: Kind) -> Input:
    """An output of an earlier stage, whole and of this kind."""
    # A missing one is told with what is unfinished beside it.
    opened = partial(open_artifact, kind=kind)
    return Input(name, path, f"an artifact of {kind}", opened, "name", glance=opened)


def judgments(path: Path, *, file: str | None = None, reason: str = "") -> Input:
    """An output of generate, with judgments of the training split; perhaps with a `file` more, for some `reason`."""

    def opened(place: Path) -> None:
        open_artifact(place, "judgments")
        if file is not None and not (place / file).is_file():
            raise InputError(f"{place} holds no {file}; {reason}")
        # All of them, since each may be one that cannot be read.
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
    """The inputs, of which a manifest names those that stand here; what stands nowhere is a name on the hub."""
    return [each if each.path.exists() else replace(each, described=False) for each in named]


def language_model(name: str, source: str, prompt: PromptSettings) -> Input:
    """A model that reads such prompts and writes, as far as it is on this machine; one of the hub is not fetched."""

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
    """An output of distill or rl whose base, as far as it is on this machine, is the one that it was trained on.

    `base` says what it stands on, where that is said; see `find_base`.
    """

    def opened(place: Path) -> None:
        from interank.engines.bases import check_base

        check_base(open_artifact(place, "adapter"), base)

    kind = partial(open_artifact, kind="adapter")
    return Input(name, path, "an adapter, an output of distill or rl", opened, "name", glance=kind)


def reranker(name: str, source: str, base: str | None = None) -> Input:
    """Whatever ranks: an output of distill or rl, an adapter's or a model's folder, or a name on the hub."""
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
        # A graph holds its weights in itself.
        elif (files := model_here(source)) and not (files.folder / ONNX).is_file():
            model_weights(files.folder)

    described = Path(source).exists()
    return Input(name, Path(source), "a model that ranks", opened, "name", described=described, glance=glance)


def _ranking(place: Path) -> Artifact:
    """An artifact that ranks.

    Raises:
        ArtifactError: It is of another kind; says how one that ranks is made of it.
    """
    found = open_artifact(place)
    if found.kind == "adapter":
        return found
    make = _MADE_INTO.get(found.kind, "give an output of distill or rl").format(place=shlex.quote(str(place)))
    raise ArtifactError(f"{place} holds {found.kind}, and what ranks is an adapter or a model; {make}")


def classifier(name: str, source: str) -> Input:
    """A model that may get, or has, a head of one number, as far as it is on this machine."""

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
