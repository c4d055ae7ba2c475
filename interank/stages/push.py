"""push: a model, judgments or an evaluation to the hub, with a card that is found, and nothing of this machine."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, HfApi, ModelCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from interank.engines.models import PEFT
from interank.errors import InputError, ModelError
from interank.resources import hub_name
from interank.stages.origins import CARD, tell_origins
from interank.stages.pushed_files import collected, files_of, refuse_traces
from interank.stages.pushed_results import results_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Pushing:
    """What is asked of a push."""

    repo: str
    base: str | None = None
    """The hub's name of what an adapter stands on, where that was trained from a folder."""
    results: Path | None = None
    """An evaluation whose measures are told with the model."""
    license: str | None = None
    datasets: tuple[str, ...] = ()
    create_pr: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class PushResult:
    """What was, or would be, pushed."""

    files: Mapping[str, int]
    """Their names in the repository, and their bytes."""
    card: str
    url: str | None
    """Of the commit; None where nothing was sent."""


def push(source: Path, asked: Pushing, *, dry_run: bool = False) -> PushResult:
    """Send what stands at a path to the hub, or tell what would be sent.

    Raises:
        ArtifactError: It is of a kind that is not pushed.
        InputError: The repository has no such name, the base has none on the hub, or a file tells of this machine or
            holds a key.
        ModelError: The hub refuses it.
    """
    try:
        validate_repo_id(asked.repo)
    except HFValidationError as error:
        raise InputError(f"{asked.repo} is no repository's name ({error}); give it as OWNER/NAME") from None
    with tempfile.TemporaryDirectory(prefix="interank-") as made:
        folder = Path(made)
        kind = collected(source, folder, asked.base)
        if (folder / PEFT).is_file():
            # An export's card tells it already.
            tell_origins(folder, source, named=asked.base)
        _describe(folder, asked, kind)
        refuse_traces(folder, source)
        files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files_of(folder)}
        card = (folder / CARD).read_text("utf-8")
        return PushResult(files, card, None if dry_run else _sent(folder, asked, kind))


def _describe(folder: Path, asked: Pushing, kind: str) -> None:
    """Complete the card's metadata, and write the measures in the hub's two forms."""
    file = folder / CARD
    card: Any = (ModelCard if kind == "model" else DatasetCard).load(file)
    if asked.license:
        card.data.license = asked.license
    elif not card.data.license:
        log.warning("nothing here tells a licence for %s, so its card names none; say it with --license", asked.repo)
    if kind == "model":
        card.data.pipeline_tag = "text-ranking"
        if asked.base:
            card.data.base_model = hub_name(asked.base)[0]
        if (folder / PEFT).is_file():
            card.data.base_model_relation = "adapter"
        if not asked.datasets and not card.data.datasets:
            log.warning("nothing here tells what the training data is called on the hub; say it with --dataset")
        if asked.datasets:
            card.data.datasets = list(asked.datasets)
        if asked.results:
            day = datetime.now(UTC).date().isoformat()
            rows, entries = results_of(asked.results, asked.repo, day)
            card.data.model_name = asked.repo.partition("/")[2]
            card.data.eval_results = rows
            (folder / ".eval_results").mkdir()
            (folder / ".eval_results" / "interank.yaml").write_text(entries, "utf-8")
    card.save(file)


def _sent(folder: Path, asked: Pushing, kind: str) -> str:
    api = HfApi()
    try:
        api.create_repo(asked.repo, private=asked.private, repo_type=kind, exist_ok=True)
        commit = api.upload_folder(
            repo_id=asked.repo,
            folder_path=folder,
            repo_type=kind,
            commit_message="Upload from interank",
            create_pr=asked.create_pr,
        )
    except (HfHubHTTPError, OSError) as error:
        told = " ".join(str(error).split())[:200]
        raise ModelError(f"the hub did not take {asked.repo}: {told}; see that HF_TOKEN may write there") from None
    return str(commit.pr_url or commit.commit_url)
