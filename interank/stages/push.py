"""push: sends a model, judgments or an evaluation to the hub, with a complete card and no trace of this machine."""

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
class PushSettings:
    """The repository, and the facts for its card."""

    repo: str
    base: str | None = None
    """The hub's name of an adapter's base model, where the adapter was trained from a folder."""
    results: Path | None = None
    """An evaluation whose measures go into the model's card."""
    license: str | None = None
    datasets: tuple[str, ...] = ()
    create_pr: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class PushResult:
    """The files that were, or would be, pushed."""

    files: Mapping[str, int]
    """Sizes in bytes by name in the repository."""
    card: str
    url: str | None
    """The commit's address; None where nothing was sent."""


def push(source: Path, settings: PushSettings, *, dry_run: bool = False) -> PushResult:
    """Send an output to the hub, or list what would be sent.

    Raises:
        ArtifactError: The output is of a kind that is not pushed.
        InputError: The repository's name is invalid, the base has no name on the hub, or a file holds a path of this
            machine or a key.
        ModelError: The hub refuses the upload.
    """
    try:
        validate_repo_id(settings.repo)
    except HFValidationError as error:
        raise InputError(f"{settings.repo} is no repository's name ({error}); give it as OWNER/NAME") from None
    with tempfile.TemporaryDirectory(prefix="interank-") as temporary:
        folder = Path(temporary)
        kind = collected(source, folder, settings.base)
        if (folder / PEFT).is_file():
            # The card of an export names its origins already.
            tell_origins(folder, source, named=settings.base)
        _describe(folder, settings, kind)
        refuse_traces(folder, source)
        files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files_of(folder)}
        card = (folder / CARD).read_text("utf-8")
        return PushResult(files, card, None if dry_run else _sent(folder, settings, kind))


def _describe(folder: Path, settings: PushSettings, kind: str) -> None:
    """Complete the card's metadata, and write the measures in the hub's two forms."""
    file = folder / CARD
    card: Any = (ModelCard if kind == "model" else DatasetCard).load(file)
    if settings.license:
        card.data.license = settings.license
    elif not card.data.license:
        log.warning("no licence is known for %s, so its card names none; give it with --license", settings.repo)
    if kind == "model":
        card.data.pipeline_tag = "text-ranking"
        if settings.base:
            card.data.base_model = hub_name(settings.base)[0]
        if (folder / PEFT).is_file():
            card.data.base_model_relation = "adapter"
        if not settings.datasets and not card.data.datasets:
            log.warning("the training data has no known name on the hub; give it with --dataset")
        if settings.datasets:
            card.data.datasets = list(settings.datasets)
        if settings.results:
            day = datetime.now(UTC).date().isoformat()
            rows, entries = results_of(settings.results, settings.repo, day)
            card.data.model_name = settings.repo.partition("/")[2]
            card.data.eval_results = rows
            (folder / ".eval_results").mkdir()
            (folder / ".eval_results" / "interank.yaml").write_text(entries, "utf-8")
    card.save(file)


def _sent(folder: Path, settings: PushSettings, kind: str) -> str:
    api = HfApi()
    try:
        api.create_repo(settings.repo, private=settings.private, repo_type=kind, exist_ok=True)
        commit = api.upload_folder(
            repo_id=settings.repo,
            folder_path=folder,
            repo_type=kind,
            commit_message="Upload from interank",
            create_pr=settings.create_pr,
        )
    except (HfHubHTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the hub did not take {settings.repo}: {reason}; see that HF_TOKEN may write there") from None
    return str(commit.pr_url or commit.commit_url)
