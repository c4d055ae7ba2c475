"""A student's own explanations beside the teacher's, written by an existing adapter."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from interank.artifact import Workplace, open_artifact
from interank.engines.local import LocalTeacher
from interank.engines.models import device
from interank.engines.prompts import PromptEncoder
from interank.progress import track
from interank.recipe import GenerateRecipe
from interank.settings import BudgetRecipe, ExplanationsRecipe
from interank.tasks.judge.ranker import load_judge
from interank.tasks.ranker_settings import RankerSettings
from interank.teacher.annotate import Annotator
from interank.teacher.budget import Meter
from interank.teacher.explaining import ExplainedPair, have_written
from interank.teacher.opening import REPLIES, STUDENT_REPLIES, default_cache
from interank.teacher.replies import Asker, ReplyStore


def have_student_write(
    recipe: GenerateRecipe,
    settings: ExplanationsRecipe,
    adapter: Path,
    place: Workplace,
    gathered: Sequence[ExplainedPair],
) -> None:
    """Have the adapter explain the grades; its replies have their own store, since they cost nothing.

    Raises:
        ArtifactError: The adapter was trained for another task or on another wording of the prompt.
        ModelError: Its base is not available.
    """
    loaded = load_judge(RankerSettings(model=str(adapter), mode="explain"))
    # The grade is given, so the order is grade-first.
    prompt = loaded.encoder.settings.model_copy(update={"order": "grade_first"})
    size = recipe.teacher.batch_size
    identity = f"student {open_artifact(adapter, 'adapter').digest} {device()}"
    shared_folder = recipe.cache or default_cache()
    with ExitStack() as stack:
        own = stack.enter_context(closing(ReplyStore(place.work / STUDENT_REPLIES)))
        shared = stack.enter_context(closing(ReplyStore(shared_folder / REPLIES))) if shared_folder else None
        student = LocalTeacher(loaded.engine, identity, unit_size=size)
        asker = Asker(student, own, shared, Meter(BudgetRecipe(), None))
        encoder = PromptEncoder(loaded.encoder.tokenizer, prompt)
        annotator = Annotator(asker, recipe.teacher, prompt, encoder, recipe.seed)
        starts = range(0, len(gathered), size)
        for start in track(starts, what="student's explanations", unit="batches", total=len(starts)):
            have_written(annotator, gathered[start : start + size], settings, "student")
