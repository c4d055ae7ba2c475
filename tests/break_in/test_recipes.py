"""Recipes made to hang, to crash, to grow or to mean something else than they say: a sentence, or what is meant."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from interank import Reranker
from interank.errors import InputError, RecipeError
from interank.recipe import load_recipe
from interank.recipe.words import read_yaml

LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
REFUSED = {
    "billion laughs": (f"{LAUGHS}stage: evaluate\nmeasures: *a9\n", "more than 20,000 values"),
    "an alias within itself": ("a: &a {b: *a}\nstage: evaluate\n", "an alias refers to a value that contains it"),
    "lists in lists": (f"stage: evaluate\nmeasures: {'[' * 50_000}\n", "nested deeper than 50 levels"),
    "closed lists in lists": (f"stage: evaluate\nmeasures: {'[' * 90}{']' * 90}\n", "nested deeper than 50 levels"),
    "a number of 5,000 digits": (f"stage: evaluate\nseed: {'9' * 5000}\n", "line 2: a number of 5000 digits"),
    "a list as key": ("stage: evaluate\n? [1, 2]\n: 3\n", "line 2: a key is a list"),
    "a merge of a number": ("stage: evaluate\n<<: 3\n", "not readable as YAML"),
    "a Python object": (
        "stage: evaluate\nmeasures: !!python/object/apply:os.system [ls]\n",
        "not readable as YAML",
    ),
    "not a number": ("stage: evaluate\nseed: .nan\n", "seed: nan was found"),
    "a number without bound": ("stage: evaluate\ndepth: .inf\n", "depth: inf was found"),
    "a list as stage": ("stage: [1, 2]\n", "stage is [1, 2]"),
    "bytes": ("stage: !!binary aGk=\n", "stage is b'hi'"),
    "a key twice": ("stage: evaluate\ndepth: 10\ndepth: 50\n", "'depth' is set twice, in line 2 and in line 3"),
    "a key twice below": ("stage: rl\ntrainer: {max_steps: 1, max_steps: 2}\n", "'max_steps' is set twice"),
    "an octal number": ("stage: evaluate\ndepth: 010\n", "line 2: 010 begins with 0"),
    "a long value": (f"stage: evaluate\ndepth: {'x' * 100_000}\n", "depth: 'xxx"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_recipe_is_refused_in_a_sentence_and_in_time(tmp_path: Path, name: str) -> None:
    text, told = REFUSED[name]
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(RecipeError) as refused:
        load_recipe(str(path))
    assert told in str(refused.value)
    assert len(str(refused.value)) < 1500
    assert time.process_time() - began < 5


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xff\xfe\x00stage: evaluate")
    with pytest.raises(RecipeError, match="not readable as YAML"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("1e-4", 1e-4), ("1.0e-4", 1e-4), ("2E5", 2e5), (".5", 0.5), ("-3", -3), ("+5", 5), ("0", 0), ("-0.0", 0.0)),
        *(("2024-01-01", "2024-01-01"), ("1:30", "1:30"), ("0x10", "0x10"), ("'010'", "010"), ("1_000", 1000)),
        *(("no", False), ("true", True), ("~", None), ("", None), ("[a, 1]", ["a", 1]), ("1.2.3", "1.2.3")),
    ],
)
def test_a_value_is_what_it_looks_like(text: str, value: object) -> None:
    found = read_yaml(text)
    assert found == value
    assert type(found) is type(value)


def test_aliases_within_reason_are_read() -> None:
    assert read_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: [*x, *x]") == {
        "a": {"b": 1},
        "c": {"b": 1, "d": 2},
        "e": [{"b": 1}, {"b": 1}],
    }


@pytest.mark.parametrize("value", ["2024-01-01", "2024", "#x", "1:30", "a #b"])
def test_a_path_on_the_command_line_is_what_was_typed(value: str) -> None:
    assert load_recipe("evaluate/benchmark", [f"benchmark={value}"]).benchmark == Path(value)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("value", "told"),
    [("no", "write ./no"), ("~nosuchuser/x", "there is no user 'nosuchuser'"), ("007", "'007' in quotes for a name")],
)
def test_a_path_that_cannot_be_one_is_told(value: str, told: str) -> None:
    with pytest.raises(RecipeError, match="benchmark: ") as refused:
        load_recipe("evaluate/benchmark", [f"benchmark={value}"])
    assert told in str(refused.value)


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000, "a/" + "\u00e9" * 128 + "/b", "~x\0/y"])
def test_a_name_that_no_file_system_takes_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / "recipe.yaml"
    for key in ("benchmark", "run", "runs"):
        path.write_text(json.dumps({"stage": "evaluate", "benchmark": "b", key: [name] if key == "runs" else name}))
        with pytest.raises(RecipeError, match=rf"{key}.*: the path '.*' holds a NUL, or a part of more than 255 bytes"):
            load_recipe(str(path))
    with pytest.raises(InputError, match="which no file system accepts; give another"):
        Reranker(name)


def test_a_number_in_powers_of_ten_is_one() -> None:
    recipe = load_recipe("distill/smollm2", ["trainer.learning_rate=1e-4"])
    assert recipe.trainer["learning_rate"] == 1e-4  # type: ignore[union-attr]
