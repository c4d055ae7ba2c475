"""The teacher that a recipe names: an engine in this process, vLLM or servers, and where its replies are kept."""

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
"""Those of an adapter that explains beside the teacher, which cost nothing."""
# Waves of requests to servers between two looks at the clock; within a wave, room is filled as it comes free.
_WAVES = 8


def default_cache() -> Path | None:
    """Replies are kept over all outputs where somebody said where."""
    folder = os.environ.get("INTERANK_CACHE")
    return Path(folder) / "replies" if folder else None


def open_teacher(
    settings: TeacherRecipe, prompt: PromptSettings, seed: int, *, longest: int = 0
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    """Who is asked, how texts become token ids (None for messages), and what the manifest says of it.

    `longest` is what a prompt of another kind takes with its answer, in tokens.
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
    given = VllmOptions(
        max_length=longest + SPARE,
        tensor_parallel=options.tensor_parallel,
        quantisation=options.quantisation,
        dtype=options.dtype,
        gpu_memory=options.gpu_memory,
        seed=seed,
    )
    identity = f"vllm {files.name} {options.quantisation} {options.dtype}"
    return LocalTeacher(VllmEngine(files.folder, given), identity, together=options.together), encoder, notes


def _on_servers(
    settings: TeacherRecipe, prompt: PromptSettings
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    files: ModelFiles | None = None
    try:
        files = find_model(settings.model) if settings.server.api != "chat" else None
    except ModelError as error:
        if settings.server.api == "tokens":
            raise ModelError(
                f"server.api: tokens needs the teacher's tokenizer here: {error}; or set api: chat"
            ) from None
        log.info("the teacher's tokenizer is not here, so its servers are asked in messages (%s)", error)
    known = {"tokens": True, "chat": False}.get(settings.server.api, None if files else False)
    teacher = OpenAiTeacher(settings.server.model or settings.model, settings.server, token_ids=known)
    takes_ids = "token_ids" in teacher.abilities
    notes = {"teacher": settings.model, "teacher_origin": "servers", "engine": "openai"}
    notes["api"] = "tokens" if takes_ids else "chat"
    log.info("%d servers are asked in %s", len(settings.server.urls), "token ids" if takes_ids else "messages")
    if takes_ids and files is not None:
        encoder = PromptEncoder(load_tokenizer(files), prompt)
        teacher.vocabulary = encoder.vocabulary
        return teacher, encoder, notes
    return teacher, None, notes


def asked_together(teacher: TeacherRecipe) -> int:
    """How many pairs go through the teacher's steps together."""
    if teacher.engine == "transformers":
        return teacher.batch_size
    return teacher.vllm.together if teacher.engine == "vllm" else teacher.server.in_flight * _WAVES
