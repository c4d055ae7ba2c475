"""Opens the teacher that a recipe names: transformers or vLLM in this process, or servers."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from interank.engines.local import LocalTeacher
from interank.engines.models import ModelFiles, device, find_model, load_model, load_tokenizer
from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Teacher
from interank.engines.transformers import TransformersEngine
from interank.engines.vllm import SPARE, VllmEngine, VllmOptions
from interank.errors import ModelError
from interank.settings import PromptSettings, TeacherRecipe

log = logging.getLogger(__name__)

REPLIES = "replies.sqlite"
STUDENT_REPLIES = "student.sqlite"
"""The replies of a student's adapter that explains too; they cost nothing."""
# A call has so many times the requests that servers take at once; a request that ends makes room for the next.
_WAVES = 8


def default_cache() -> Path | None:
    """The folder of the replies shared across outputs; None where $INTERANK_CACHE is not set."""
    folder = os.environ.get("INTERANK_CACHE")
    return Path(folder) / "replies" if folder else None


def open_teacher(
    settings: TeacherRecipe, prompt: PromptSettings, seed: int, *, longest: int = 0
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    """The teacher, its encoder (None where it takes messages), and its notes for the manifest.

    `longest` is the length in tokens of a prompt of another kind with its answer, for which vLLM has to have room.
    """
    if settings.engine == "openai":
        return _on_servers(settings, prompt)
    files = find_model(settings.model)
    encoder = PromptEncoder(load_tokenizer(files), prompt)
    notes = {"teacher": files.name, "teacher_origin": files.origin, "engine": settings.engine}
    if settings.engine == "transformers":
        engine = TransformersEngine(load_model(files))
        identity = f"transformers {files.name} {device()}"
        return LocalTeacher(engine, identity, unit_size=settings.batch_size), encoder, notes
    options = settings.vllm
    longest = max(longest, prompt.max_length, settings.orderings.prompt.max_length if settings.orderings else 0)
    vllm = VllmOptions(
        max_length=longest + SPARE,
        tensor_parallel=options.tensor_parallel,
        quantisation=options.quantisation,
        dtype=options.dtype,
        gpu_memory=options.gpu_memory,
        seed=seed,
    )
    identity = f"vllm {files.name} {options.quantisation} {options.dtype}"
    return LocalTeacher(VllmEngine(files.folder, vllm), identity, together=options.together), encoder, notes


def _on_servers(
    settings: TeacherRecipe, prompt: PromptSettings
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    files: ModelFiles | None = None
    try:
        files = find_model(settings.model) if settings.server.api != "chat" else None
    except ModelError as error:
        if settings.server.api == "tokens":
            raise ModelError(
                f"server.api: tokens needs the teacher's tokenizer on this machine: {error}; or set server.api: chat"
            ) from None
        log.info("the teacher's tokenizer is not on this machine, so its servers are sent messages (%s)", error)
    known = {"tokens": True, "chat": False}.get(settings.server.api, None if files else False)
    teacher = OpenAiTeacher(settings.server.model or settings.model, settings.server, token_ids=known)
    takes_ids = "token_ids" in teacher.abilities
    notes = {"teacher": settings.model, "teacher_origin": "servers", "engine": "openai"}
    notes["api"] = "tokens" if takes_ids else "chat"
    log.info("%d servers are sent %s", len(settings.server.urls), "token ids" if takes_ids else "messages")
    if takes_ids and files is not None:
        encoder = PromptEncoder(load_tokenizer(files), prompt)
        teacher.vocabulary = encoder.vocabulary
        return teacher, encoder, notes
    return teacher, None, notes


def asked_together(teacher: TeacherRecipe) -> int:
    """The number of pairs in one call of the teacher."""
    if teacher.engine == "transformers":
        return teacher.batch_size
    return teacher.vllm.together if teacher.engine == "vllm" else teacher.server.in_flight * _WAVES
