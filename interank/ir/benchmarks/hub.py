"""BRIGHT from the Hugging Face hub or its local cache."""

from __future__ import annotations

import re
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.benchmark import BenchmarkOptions
from interank.ir.benchmarks.bright import BRIGHT_TASKS, CORPUS_FOLDERS, QUERY_FOLDERS
from interank.ir.benchmarks.names import chosen_names

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def is_repository(path: Path | str) -> bool:
    """Whether this has the form of a data set's name on the hub, such as `xlangai/BRIGHT`, and no such path exists."""
    return _REPOSITORY.fullmatch(str(path)) is not None and not Path(path).exists()


def fetch(repository: str, wanted: BenchmarkOptions) -> Path:
    """Fetch the wanted files that are not cached, and return their folder.

    Raises:
        InputError: A task is unknown, or the data set cannot be fetched.
    """
    tasks = chosen_names(repository, wanted.tasks, BRIGHT_TASKS)
    configs = [QUERY_FOLDERS[0]]
    configs += [CORPUS_FOLDERS[wanted.documents]] if wanted.need_text else []
    configs += [wanted.rewritten] if wanted.rewritten else []
    patterns = [f"{config}/{task}{ending}" for config in configs for task in tasks for ending in ("-*", ".*")]
    from huggingface_hub import snapshot_download  # slow to import
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository, repo_type="dataset", revision=wanted.revision, allow_patterns=[*patterns, "qrels/*.txt"]
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"{repository} is no folder here, and the hub gives no such data set ({reason}); check the name "
            "and the connection, or fetch it elsewhere and name its folder"
        ) from error
    return Path(folder)
