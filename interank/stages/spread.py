"""Judges shards on the workers of Ray, again where a worker died, and joins them."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing
from interank.errors import ArtifactError, BeingMadeError, InputError
from interank.outputs import Partial, check_free, is_taken
from interank.recipe import GenerateRecipe
from interank.shards import Shard
from interank.stages import generate, join
from interank.stages.inputs import require_inputs
from interank.stages.judging_progress import Bar
from interank.stages.shards import refuse_unshardable

# Retries of one shard after its worker died; more would not help.
_RETRIES = 5
# Seconds for the workers of a killed driver to end.
_PATIENCE = 60.0
_GLANCE = 2.0


def run(recipe: GenerateRecipe, out: Path, *, shards: int, workers: int, existing: Existing = "refuse") -> Artifact:
    """Judge all shards, `workers` of them at a time, and join them; `resume` keeps finished shards.

    The shards are in `OUT.shards`, on a disk that all workers share, each with its own reply store.

    Raises:
        InterankError: Ray is not installed or has too few resources, or a shard cannot be judged.
    """
    require_inputs(recipe)
    refuse_unshardable(recipe)
    folder = out.with_name(f"{out.name}.shards")
    if existing != "resume":
        if is_taken(folder):
            raise ArtifactError(f"{folder} holds shards of an earlier run; go on with --resume, or remove them")
        if existing == "refuse":
            check_free(out, Partial(out.resolve()))
    generate.check(recipe)
    numbers = range(1, shards + 1)
    places = {Shard(shards, number): folder / f"{number:05d}-of-{shards:05d}" for number in numbers}
    with _ray(recipe, workers) as judge:
        folder.mkdir(parents=True, exist_ok=True)
        _judge_all(recipe, judge, places, workers)
    return join.run([folder], out, existing=existing)


@contextmanager
def _ray(recipe: GenerateRecipe, workers: int) -> Iterator[Any]:
    """Start Ray, check that the workers fit, and yield the remote function that judges a shard."""
    # Ray reads this at import; without it, each start is reported to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise InputError(
            "--executor ray needs Ray, which is not installed; pip install 'interank[ray]', or start a command a shard "
            "(--shards 1/64, 2/64 ...) and interank join them"
        ) from None
    address = os.environ.get("RAY_ADDRESS")
    more: dict[str, Any] = {"address": address} if address else {"num_cpus": os.cpu_count()}
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **more)
    try:
        have = ray.cluster_resources()
        gpus = 0
        if recipe.teacher.engine != "openai" and have.get("GPU"):
            gpus = recipe.teacher.vllm.tensor_parallel if recipe.teacher.engine == "vllm" else 1
        require_room(have, workers, gpus)
        yield ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(_judged)
    finally:
        ray.shutdown()


def require_room(have: Mapping[str, float], workers: int, gpus: int) -> None:
    """Raise where Ray has not enough CPUs or GPUs for all workers at the same time.

    Raises:
        InputError: What each worker takes, and what Ray has.
    """
    for name, each in (("CPU", 1), ("GPU", gpus)):
        if workers * each > have.get(name, 0):
            raise InputError(
                f"--workers {workers}: each takes {each} {name}, and Ray has {have.get(name, 0):g} in all, so that "
                "some would wait for ever; ask for fewer workers"
            )


def _judge_all(recipe: GenerateRecipe, judge: Any, places: dict[Shard, Path], workers: int) -> None:
    import ray

    content = recipe.model_dump(mode="json")
    waiting = list(reversed(places))
    running: set[Any] = set()
    with Bar(recipe, list(places.values())) as bar:
        while waiting or running:
            while waiting and len(running) < workers:
                shard = waiting.pop()
                running.add(judge.remote(content, str(places[shard].resolve()), str(shard), workers))
            done, rest = ray.wait(list(running), timeout=_GLANCE)
            running = set(rest)
            for each in done:
                _require_whole(each)
            bar.look()


def _require_whole(task: Any) -> None:
    """Raise the error that ended a shard, if one did.

    Raises:
        InterankError: The shard's own error, or an InputError where its worker died too often.
    """
    import ray

    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None
    except ray.exceptions.RayError as error:
        raise InputError(f"a worker died {_RETRIES + 1} times at one shard ({error}); --resume goes on") from None


def _judged(content: dict[str, Any], out: str, shard: str, workers: int) -> None:
    """Judge a shard in a worker; stored replies of an earlier worker are used again."""
    logging.getLogger("interank").setLevel(logging.ERROR)
    recipe = GenerateRecipe.model_validate(content)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            generate.run(recipe, Path(out), existing="resume", shard=Shard.parse(shard), concurrent_shards=workers)
            return
        except BeingMadeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
