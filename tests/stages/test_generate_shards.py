"""Judged in shards and joined: the bytes of a whole run; shards that do not belong together are refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import Artifact, open_artifact
from interank.cli.app import main
from interank.errors import InterankError
from interank.pairs import read_pairs
from interank.recipe import GenerateRecipe, load_recipe
from interank.resources import resource_dir
from interank.shards import Shard
from interank.stages import generate, join, parts
from tests.stages.test_resume import digests
from tests.support.stub import Answer, Stub, said, serving

DUMPS = resource_dir("data") / "stackexchange"
RECIPE = """
stage: generate
decontaminate: false
mining: {questions: 25, documents_per_question: 4, validation_share: 0.2}
teacher:
  model: served
  engine: openai
  server: {urls: [URL], api: chat, in_flight: 8}
  queries: 3
  query_pairs: 1
  price: {read: 1.0, written: 2.0}
prompt: {order: grade_first, max_length: 400, max_query_tokens: 64, max_document_tokens: 64}
"""


def steady(_: int, body: dict[str, Any]) -> Answer:
    """Says the same of the same question, whenever it is asked."""
    question = body["messages"][0]["content"]
    number = sum(map(ord, question))
    if "search queries" in question:
        return said("no queries" if number % 7 == 0 else f"1. query {number}\n2. other {number}")
    if number % 11 == 0:
        return said("I would rather not say.")
    return said(f"Relevance Label: {min(2, number % 5)}\n\nReason {number}.")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mined")
    (folder / "recipe.yaml").write_text(RECIPE.replace("URL", "http://localhost:1/v1"))
    recipe = load_recipe(folder / "recipe.yaml", [f"dumps={DUMPS}"])
    assert isinstance(recipe, GenerateRecipe)
    return generate.run(recipe, folder / "pairs", only_mine=True).path


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    stub = Stub(steady)
    with serving(stub):
        yield stub.url


def recipe_of(folder: Path, url: str, pairs: Path, *more: str) -> GenerateRecipe:
    (folder / "recipe.yaml").write_text(RECIPE.replace("URL", url))
    recipe = load_recipe(folder / "recipe.yaml", [f"pairs={pairs}", *more])
    assert isinstance(recipe, GenerateRecipe)
    return recipe


def shards_of(recipe: GenerateRecipe, folder: Path, of: int) -> list[Artifact]:
    return [generate.run(recipe, folder / f"{n}-of-{of}", shard=Shard(of, n)) for n in range(1, of + 1)]


@pytest.mark.parametrize("more", [(), ("max_grade_share=0.5",), ("teacher.orderings={window: 3}",)])
def test_joined_shards_are_the_whole_run_to_the_byte(
    tmp_path: Path, pairs: Path, url: str, more: tuple[str, ...]
) -> None:
    recipe = recipe_of(tmp_path, url, pairs, *more)
    whole = generate.run(recipe, tmp_path / "whole")
    shards = shards_of(recipe, tmp_path / "shards", 3)
    assert [shard.kind for shard in shards] == ["shard"] * 3
    joined = join.run([tmp_path / "shards"], tmp_path / "joined")
    assert digests(joined.path) == digests(whole.path)
    # Folders by themselves, in any order, are the same; so are others' numbers of shards.
    again = join.run([shard.path for shard in reversed(shards)], tmp_path / "again")
    assert digests(again.path) == digests(whole.path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pairs: Path, url: str) -> Path:
    """Two shards of one work."""
    folder = tmp_path_factory.mktemp("made")
    shards_of(recipe_of(folder, url, pairs, "teacher.queries=0", "teacher.query_pairs=0"), folder / "shards", 2)
    return folder


def refusal(*folders: Path, out: Path) -> str:
    with pytest.raises(InterankError) as caught:
        join.run(folders, out)
    assert not out.exists()
    return str(caught.value)


def test_a_shard_that_is_missing_or_there_twice_is_told(tmp_path: Path, made: Path) -> None:
    first, second = made / "shards" / "1-of-2", made / "shards" / "2-of-2"
    assert "shards are missing: 2/2; make each by" in refusal(first, out=tmp_path / "out")
    shutil.copytree(second, tmp_path / "copy")
    told = refusal(first, second, tmp_path / "copy", out=tmp_path / "out")
    assert f"shard 2/2 is there twice, in {second} and {tmp_path / 'copy'}" in told


def test_shards_of_other_recipes_numbers_and_pairs_are_told(tmp_path: Path, made: Path, pairs: Path, url: str) -> None:
    first = made / "shards" / "1-of-2"
    plain = ("teacher.queries=0", "teacher.query_pairs=0")
    other = generate.run(recipe_of(tmp_path, url, pairs, *plain, "seed=7"), tmp_path / "seed", shard=Shard(2, 2))
    assert "are of different recipes (seed)" in refusal(first, other.path, out=tmp_path / "out")
    three = generate.run(recipe_of(tmp_path, url, pairs, *plain), tmp_path / "three", shard=Shard(3, 2))
    assert "are of different numbers of shards" in refusal(first, three.path, out=tmp_path / "out")
    fewer = load_recipe(tmp_path / "recipe.yaml", [f"dumps={DUMPS}", "mining.questions=9"])
    assert isinstance(fewer, GenerateRecipe)
    mined = generate.run(fewer, tmp_path / "mined", only_mine=True).path
    elsewhere = generate.run(recipe_of(tmp_path, url, mined, *plain), tmp_path / "else", shard=Shard(2, 2))
    assert "are of different pairs" in refusal(first, elsewhere.path, out=tmp_path / "out")
    whole = generate.run(recipe_of(tmp_path, url, mined, *plain), tmp_path / "whole")
    assert "holds judgments, where shard is needed" in refusal(first, whole.path, out=tmp_path / "out")


def test_pairs_that_changed_after_their_shards_were_judged_are_told(tmp_path: Path, pairs: Path, url: str) -> None:
    own = tmp_path / "pairs"
    shutil.copytree(pairs, own)
    recipe = recipe_of(tmp_path, url, own, "teacher.queries=0", "teacher.query_pairs=0")
    shards_of(recipe, tmp_path / "shards", 2)
    manifest = own / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"seed": 42', '"seed": 43'), "utf-8")
    assert "these pairs were changed after the shards were judged" in refusal(tmp_path / "shards", out=tmp_path / "out")


def test_a_shard_that_stopped_at_its_budget_is_told_and_goes_on(tmp_path: Path, pairs: Path, url: str) -> None:
    recipe = recipe_of(tmp_path, url, pairs, "budget.tokens=60")
    shards_of(recipe, tmp_path / "shards", 2)
    assert "stopped at its budget" in refusal(tmp_path / "shards", out=tmp_path / "out")
    more = recipe_of(tmp_path, url, pairs)
    for number in (1, 2):
        out = tmp_path / "shards" / f"{number}-of-2"
        assert "stopped" in open_artifact(out).manifest
        generate.run(more, out, existing="resume", shard=Shard(2, number))
    joined = join.run([tmp_path / "shards"], tmp_path / "out")
    assert digests(joined.path) == digests(generate.run(more, tmp_path / "whole").path)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("teacher.orderings={window: 3}", "max_grade_share=0.5"), "teacher.orderings asks about the judgments"),
        (("pairs=null", f"dumps={DUMPS}"), "--shards deals out mined pairs, and the recipe names none"),
    ],
)
def test_what_looks_across_shards_is_refused(
    tmp_path: Path, pairs: Path, url: str, more: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InterankError, match=told):
        generate.run(recipe_of(tmp_path, url, pairs, *more), tmp_path / "out", shard=Shard(2, 1))
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]


def test_many_pairs_are_judged_in_parts_to_the_same_bytes_killed_or_not(
    tmp_path: Path, pairs: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, url, pairs, "max_grade_share=0.5")
    whole = generate.run(recipe, tmp_path / "whole")
    monkeypatch.setattr(parts, "_PART", 30)
    in_parts = generate.run(recipe, tmp_path / "in-parts")
    assert digests(in_parts.path) == digests(whole.path)
    assert json.loads((in_parts.path / "cost.json").read_text())["shards"] > 2

    def torn(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generate, "joined", torn)
        with pytest.raises(KeyboardInterrupt):
            generate.run(recipe, tmp_path / "torn")
    # A budget would be that of all parts, of which some are done.
    with pytest.raises(InterankError, match="begun without one, in parts"):
        generate.run(
            recipe_of(tmp_path, url, pairs, "max_grade_share=0.5", "budget.tokens=9"),
            tmp_path / "torn",
            existing="resume",
        )
    told = generate.run(recipe, tmp_path / "torn", existing="resume")
    assert digests(told.path) == digests(whole.path)


@pytest.mark.parametrize("more", [(), ("max_grade_share=0.5",), ("teacher.orderings={window: 3}",)])
def test_shards_are_judged_in_parts_too_to_the_same_bytes_killed_or_not(
    tmp_path: Path, pairs: Path, url: str, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...]
) -> None:
    recipe = recipe_of(tmp_path, url, pairs, *more)
    shards = shards_of(recipe, tmp_path / "shards", 3)
    whole = join.run([tmp_path / "shards"], tmp_path / "whole")
    monkeypatch.setattr(parts, "_PART", 10)

    def torn(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(generate, "joined", torn)
        with pytest.raises(KeyboardInterrupt):
            generate.run(recipe, tmp_path / "in-parts" / "1-of-3", shard=Shard(3, 1))
    generate.run(recipe, tmp_path / "in-parts" / "1-of-3", existing="resume", shard=Shard(3, 1))
    for number in (2, 3):
        generate.run(recipe, tmp_path / "in-parts" / f"{number}-of-3", shard=Shard(3, number))
    for shard in shards:
        own = open_artifact(tmp_path / "in-parts" / shard.path.name, "shard")
        assert json.loads((own.path / "cost.json").read_text())["shards"] > 2
        assert digests(own.path) == digests(shard.path)
    assert digests(join.run([tmp_path / "in-parts"], tmp_path / "joined").path) == digests(whole.path)


def test_what_was_begun_whole_goes_on_whole(
    tmp_path: Path, pairs: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = generate.run(recipe_of(tmp_path, url, pairs, "budget.tokens=60"), tmp_path / "out")
    assert "stopped" in stopped.manifest
    monkeypatch.setattr(parts, "_PART", 30)
    told = generate.run(recipe_of(tmp_path, url, pairs), tmp_path / "out", existing="resume")
    assert json.loads((told.path / "cost.json").read_text())["last_run"]["replayed"] > 0


def test_check_tells_what_a_shard_takes(
    tmp_path: Path, pairs: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe_of(tmp_path, url, pairs)
    line = ["check", str(tmp_path / "recipe.yaml"), f"pairs={pairs}", "teacher.query_pairs=0"]
    told = []
    for more in ([], ["--shards", "1/2"], ["--shards", "2/2"]):
        assert main([*line, *more]) == 0
        told.append(re.search(r"takes(.*): (\d+) pairs", capsys.readouterr().err))
    whole, first, second = [found.groups() for found in told if found]
    assert (first[0], second[0]) == (", shard 1/2", ", shard 2/2")
    assert int(first[1]) + int(second[1]) == int(whole[1])
    assert main([*line, "teacher.orderings={window: 3}", "max_grade_share=0.5", "--shards", "1/2"]) == 1
    assert "--shards: teacher.orderings asks" in capsys.readouterr().err


def test_a_part_of_which_nothing_can_be_used_is_no_end(
    tmp_path: Path, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next(read_pairs(pairs)).query.text

    def answer(number: int, body: dict[str, Any]) -> Answer:
        return said("I would rather not say.") if first in body["messages"][0]["content"] else steady(number, body)

    stub = Stub(answer)
    with serving(stub):
        recipe = recipe_of(tmp_path, stub.url, pairs, "teacher.queries=0", "teacher.query_pairs=0")
        whole = generate.run(recipe, tmp_path / "whole")
        monkeypatch.setattr(parts, "_PART", 1)
        in_parts = generate.run(recipe, tmp_path / "in-parts")
    assert digests(in_parts.path) == digests(whole.path)


def test_shards_of_which_none_is_explained_are_refused(tmp_path: Path, pairs: Path) -> None:
    stub = Stub(lambda *_: said("Relevance Label: 1"))
    with serving(stub):
        more = ("teacher.queries=0", "teacher.query_pairs=0", "teacher.grades=votes")
        shards_of(recipe_of(tmp_path, stub.url, pairs, *more), tmp_path / "shards", 2)
    assert "explained none of" in refusal(tmp_path / "shards", out=tmp_path / "out")
