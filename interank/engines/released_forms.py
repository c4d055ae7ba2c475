"""Rerankers that others released as plain language models: which there are, and how a model is told to be one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from interank.artifact import MANIFEST
from interank.engines.late_lists import ARCHITECTURE
from interank.engines.models import PEFT, model_here
from interank.engines.use import FILE
from interank.engines.weights import read_config
from interank.errors import InputError
from interank.resources import expanded, hub_name

_QWEN3_QUOTED = "Judge whether the Document meets the requirements based on the Query and the Instruct provided"
_MXBAI_QUOTED = "You are a search relevance expert who evaluates how well documents match search queries"
GEMMA_TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


_ERANK_QUOTED = "Given a query and a document, please give a relevance score of 0~10."
USUAL_TASK = "Given a web search query, retrieve relevant passages that answer the query"
"""What documents are judged by where a form has a place for an instruction, and a query brings none."""


@dataclass(frozen=True, slots=True)
class ReleasedForm:
    """A form of released rerankers: of which names, with how many tokens, and what the score is made of."""

    name: str
    named: str
    """A pattern of the last part of a model's name, without case."""
    quoted: str
    """What its templates or its card quote of its prompt, and those of no other model."""
    kinds: tuple[str, ...]
    """The kinds of models, as their configurations call them."""
    length: int
    """Tokens that its own code takes unless told otherwise."""
    answers: tuple[str, ...]
    """The score is the logit of the first less that of the second, if there is one; none where it writes a number."""
    instructed: bool = False
    """Whether its prompt has a place for a query's instruction, in place of the usual one."""


QWEN3 = ReleasedForm(
    "Qwen3-Reranker", r"qwen3-reranker", _QWEN3_QUOTED, ("qwen3",), 8192, ("yes", "no"), instructed=True
)
MXBAI = ReleasedForm("mxbai-rerank-v2", r"mxbai-rerank-\w+-v2", _MXBAI_QUOTED, ("qwen2",), 8192, ("1", "0"))
GEMMA = ReleasedForm("bge-reranker-v2-gemma", r"bge-reranker-v2-gemma", GEMMA_TASK, ("gemma", "gemma2"), 512, ("Yes",))
ERANK = ReleasedForm("ERank", r"\berank(-|$)", _ERANK_QUOTED, ("qwen3",), 32768, (), instructed=True)
FORMS = (QWEN3, MXBAI, GEMMA, ERANK)
_CONFIG = "config.json"
# Where a model's folder has its prompt, or tells of it; of what is code the text is read.
_TELLING = (
    "chat_template.jinja",
    "tokenizer_config.json",
    "config_sentence_transformers.json",
    "README.md",
    "examples/utils.py",
)
_JINA = re.compile(r"jina-reranker|^Jina")


def released_form(source: str | Path) -> ReleasedForm | None:
    """The form of a released reranker, told by its files, or by its name where these quote no prompt; None of another.

    What interank made is none, whatever it is called, nor is a model with a head of its own.

    Raises:
        InputError: It is a reranker that cannot be run here, or is called like one and is another model.
        ModelError: Its configuration cannot be read, or a folder is named that is not there.
    """
    path = expanded(str(source))
    folder = path if path.is_dir() else None
    name = Path(hub_name(str(source))[0]).name.lower()
    if folder is None and (fetched := model_here(str(source))):
        folder = fetched.folder
    if folder and any((folder / own).is_file() for own in (MANIFEST, FILE)):
        return None
    if folder and (folder / PEFT).is_file():
        # An adapter answers as its base does, and is called as its owner likes.
        base = str(read_config(folder / PEFT).get("base_model_name_or_path") or "")
        return released_form(base) if base and base != str(source) else None
    config = read_config(folder / _CONFIG) if folder and (folder / _CONFIG).is_file() else {}
    classes = [str(each) for each in config.get("architectures") or []]
    if any(each.endswith("ForSequenceClassification") for each in classes):
        return None
    if ARCHITECTURE in classes or (not config and "jina-reranker-v3" in name):
        return None
    if any(map(_JINA.search, (name, *classes))):
        raise InputError(
            f"{source} cannot be ranked with: Jina's rerankers, but for jina-reranker-v3, need code that comes with "
            "the model, which interank does not run; give the run that its own code made (runs=FILE)"
        )
    kind = config.get("model_type")
    if folder and (found := _quoting(folder, kind)):
        return found
    called = next((form for form in FORMS if re.search(form.named, name)), None)
    if called and config and kind not in called.kinds:
        raise InputError(
            f"{source} is called like {called.name}, and its config.json says {kind}, where "
            f"{' or '.join(called.kinds)} is expected; give the folder another name, or that model"
        )
    return called


def _quoting(folder: Path, kind: object) -> ReleasedForm | None:
    """The form whose prompt the folder's templates or card quote, if the model is of its kind."""
    texts = [(folder / name).read_text("utf-8", "replace") for name in _TELLING if (folder / name).is_file()]
    # JSON writes a quotation mark otherwise, so that what is looked for has none.
    found = (form for form in FORMS if kind in form.kinds and any(form.quoted in text for text in texts))
    return next(found, None)
