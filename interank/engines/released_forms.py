"""Rerankers that others released as plain language models: their forms, and how to recognise one."""

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
"""The default instruction, if a form has a place for one and a query has none."""


@dataclass(frozen=True, slots=True)
class ReleasedForm:
    """A form of released rerankers: how to recognise it, how long its prompts are, and what its score is."""

    name: str
    named: str
    """A pattern for the last part of a model's name, in lower case."""
    quoted: str
    """Words of its prompt that occur in the templates or the card of its models, and of no others."""
    kinds: tuple[str, ...]
    """The models' types (`model_type` in their configurations)."""
    length: int
    """The default limit of a prompt in tokens, in the code that its authors released."""
    answers: tuple[str, ...]
    """The score is the logit of the first minus that of the second, if any; empty if the model writes a number."""
    instructed: bool = False
    """Whether a query's instruction takes the place of the default one in its prompt."""


QWEN3 = ReleasedForm(
    "Qwen3-Reranker", r"qwen3-reranker", _QWEN3_QUOTED, ("qwen3",), 8192, ("yes", "no"), instructed=True
)
MXBAI = ReleasedForm("mxbai-rerank-v2", r"mxbai-rerank-\w+-v2", _MXBAI_QUOTED, ("qwen2",), 8192, ("1", "0"))
GEMMA = ReleasedForm("bge-reranker-v2-gemma", r"bge-reranker-v2-gemma", GEMMA_TASK, ("gemma", "gemma2"), 512, ("Yes",))
ERANK = ReleasedForm("ERank", r"\berank(-|$)", _ERANK_QUOTED, ("qwen3",), 32768, (), instructed=True)
FORMS = (QWEN3, MXBAI, GEMMA, ERANK)
_CONFIG = "config.json"
# Files of a model's folder that may hold its prompt; code among them is only read as text.
_PROMPT_FILES = (
    "chat_template.jinja",
    "tokenizer_config.json",
    "config_sentence_transformers.json",
    "README.md",
    "examples/utils.py",
)
_JINA = re.compile(r"jina-reranker|^Jina")


def released_form(source: str | Path) -> ReleasedForm | None:
    """The form of a released reranker, by its files, or by its name if these quote no prompt; None for other models.

    Models that interank made have none, whatever their names, nor do models with a head.

    Raises:
        InputError: It is a reranker that interank cannot run, or has the name of one and is another model.
        ModelError: Its configuration cannot be read, or the named folder does not exist.
    """
    path = expanded(str(source))
    folder = path if path.is_dir() else None
    name = Path(hub_name(str(source))[0]).name.lower()
    if folder is None and (fetched := model_here(str(source))):
        folder = fetched.folder
    if folder and any((folder / own).is_file() for own in (MANIFEST, FILE)):
        return None
    if folder and (folder / PEFT).is_file():
        # An adapter has the form of its base, whatever its own name.
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
    if folder and (quoted := _quoting(folder, kind)):
        return quoted
    named = next((form for form in FORMS if re.search(form.named, name)), None)
    if named and config and kind not in named.kinds:
        raise InputError(
            f"{source} is called like {named.name}, and its config.json says {kind}, where "
            f"{' or '.join(named.kinds)} is expected; give the folder another name, or that model"
        )
    return named


def _quoting(folder: Path, kind: object) -> ReleasedForm | None:
    """The form whose prompt the folder's templates or card quote, if the model is of its kind."""
    texts = [(folder / name).read_text("utf-8", "replace") for name in _PROMPT_FILES if (folder / name).is_file()]
    # JSON escapes quotation marks, so the quoted words have none.
    forms = (form for form in FORMS if kind in form.kinds and any(form.quoted in text for text in texts))
    return next(forms, None)
