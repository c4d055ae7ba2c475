"""The reference that the site makes of the code is whole: each key, command, measure, reward and recipe is told."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from interank.ir.benchmarks import load_benchmark
from interank.ir.trec import read_qrels, read_run
from interank.judgments import COLUMNS, read_judgments
from interank.recipe import recipe_files
from interank.resources import resource_dir
from website import commands, keys, listed, llms
from website.source import ROOT, assemble

FORMATS = ROOT / "docs" / "reference" / "formats.md"


@pytest.mark.parametrize("stage", keys.RECIPES)
def test_every_key_has_a_sentence(stage: str) -> None:
    found = keys.keys_of(stage)
    assert len(found) > 25
    assert not [key.name for key in found if not key.sentence.endswith((".", "?"))]


@pytest.mark.parametrize("stage", keys.RECIPES)
def test_every_key_stands_on_its_page_once_for_each_meaning(stage: str) -> None:
    page = keys.page(stage)
    for key in keys.keys_of(stage):
        cells = (f"`{key.name}`", key.type, key.default, key.sentence)
        assert page.count("| " + " | ".join(cell.replace("|", "\\|") for cell in cells)) == 1


def test_keys_are_told_with_type_bounds_and_default() -> None:
    rl = {key.name: key for key in keys.keys_of("rl")}
    assert rl["max_completion_tokens"].type == "whole number, at least 8"
    assert rl["max_completion_tokens"].default == "`128`"
    assert rl["quantisation"].type == "`auto` or `nf4` or `none`"
    assert rl["grade.gradient"].tasks == ("judge",)
    assert rl["seed"].tasks == ("judge", "order", "group")
    assert rl["validation.gold.judge.server.urls"].type.startswith("list of")
    assert rl["rewards"].default == "**needed**"
    assert rl["rewards[].weight"].default == "`1.0`"


def test_every_command_and_argument_has_a_sentence() -> None:
    missing = []
    for words, found in commands.verbs():
        if not found.description and words.count(" ") == 0:
            missing.append(words)
        missing += [
            f"{words} {action.dest}"
            for action in found._actions
            if not action.help and not isinstance(action, argparse._SubParsersAction)
        ]
    assert not missing
    page = commands.page()
    assert all(f"\n## {words}\n" in page for words, _ in commands.verbs())


def test_measures_rewards_and_recipes_are_all_told() -> None:
    assert listed.measures()
    rewards = listed.rewards()
    assert all(f"\n## {path.stem}\n" in rewards for path in resource_dir("rewards").glob("*.py"))
    table = listed.recipes()
    assert all(f"| `{name}` |" in table for name, _ in recipe_files())
    assert "`rl/llama-3.2-3b-24gb`" in listed.recipes_of("24 GB GPU")
    assert not any(f"`{name}`" in listed.recipes_of("24 GB GPU") for name in ("rl/llama-3.2-3b", "evaluate/bright"))


def test_the_memory_of_every_recipe_is_told_once() -> None:
    section = (ROOT / "docs" / "recipes.md").read_text("utf-8").partition("\n## Memory\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    told = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert sorted(told) == sorted(name for name, _ in recipe_files())


def _rows(heading: str) -> list[dict[str, object]]:
    section = FORMATS.read_text("utf-8").partition(f"### {heading}\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", section, re.DOTALL)]


def test_the_files_that_are_shown_can_be_read(tmp_path: Path) -> None:
    [judgment] = _rows("judgments.jsonl")
    assert tuple(judgment) == COLUMNS
    (tmp_path / "judgments.jsonl").write_text(json.dumps(judgment) + "\n")
    [read] = read_judgments(tmp_path)
    assert read.judgment.relevance == judgment["relevance"]

    corpus, query = _rows("A benchmark")
    benchmark = tmp_path / "benchmark"
    benchmark.mkdir()
    (benchmark / "corpus.jsonl").write_text(json.dumps(corpus | {"id": "d015"}) + "\n")
    (benchmark / "queries.jsonl").write_text(json.dumps(query) + "\n")
    text = FORMATS.read_text("utf-8")
    [qrels] = re.findall(r"```text\n(query-id\t.*?)```", text, re.DOTALL)
    (benchmark / "qrels.tsv").write_text(qrels)
    assert [qrel.doc_id for qrel in read_qrels(benchmark / "qrels.tsv")] == ["d015"]
    assert len(load_benchmark(benchmark).queries) == 1

    [run] = re.findall(r"```text\n(\S+ Q0 .*?)```", text, re.DOTALL)
    (tmp_path / "run.trec").write_text(run)
    assert read_run(tmp_path / "run.trec").doc_ids(str(query["id"])) == ["d015"]


def test_the_source_is_whole_and_its_list_has_every_page(tmp_path: Path) -> None:
    assemble(tmp_path / "source")
    pages = {path.relative_to(tmp_path / "source") for path in (tmp_path / "source").rglob("*.md")}
    # What documents link to and that is no page comes along.
    pages = {path for path in pages if path.parts[0] != "files"}
    assert Path("reference/keys-rl.md") in pages
    assert Path("project/results.md") in pages
    index = llms.index(tmp_path / "source")
    assert all(f"({path.with_suffix('.html').as_posix()}):" in index for path in pages)
    assert not [line for line in index.splitlines() if line.endswith((":", ".."))]
    assert "<!-- made:" not in "".join((tmp_path / "source" / path).read_text("utf-8") for path in pages)


ALONE = """
import importlib.metadata, pathlib, sys
built_with = set({built_with!r})
for module, packages in importlib.metadata.packages_distributions().items():
    if module not in ("interank", "rewards", "website") and built_with.isdisjoint(name.lower() for name in packages):
        sys.modules[module] = None
import website.source
website.source.assemble(pathlib.Path(sys.argv[1]))
"""


def test_the_source_is_made_by_what_the_site_is_built_with_alone(tmp_path: Path) -> None:
    constraints = (ROOT / "constraints-docs.txt").read_text("utf-8")
    built_with = [name.lower() for name in re.findall(r"^([\w-]+)==", constraints, re.MULTILINE)]
    assert {"pydantic", "pyyaml"} <= set(built_with)
    script = ALONE.format(built_with=built_with)
    command = [sys.executable, "-c", script, str(tmp_path / "source")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_figures_open_with_one_table_of_targets_and_what_was_got() -> None:
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    first = text.partition("\n## ")[2].partition("\n## ")[0]
    head, _, *rows = [line for line in first.splitlines() if line.startswith("|")]
    assert head == "| figure | target | got | date | machine | command |"
    assert len(rows) > 15
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)


def test_every_page_of_the_docs_stands_in_a_list_of_pages() -> None:
    """Sphinx warns of one that does not, and `make docs` fails; here whoever adds a page is told sooner."""
    docs = ROOT / "docs"
    named = set()
    for page in docs.rglob("*.md"):
        for block in re.findall(r"^:::\{toctree\}\n(.*?)^:::", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            entries = [re.sub(r".*<(.*)>", r"\1", line) for line in block.splitlines() if line and line[0] != ":"]
            named |= {(page.parent / entry).resolve().with_suffix(".md") for entry in entries}
    assert not [page.name for page in docs.rglob("*.md") if page.resolve() not in named and page.name != "index.md"]


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from website import source

    (tmp_path / "docs").mkdir()
    for name in source.BESIDE:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# Page\n")
    (tmp_path / "docs" / "index.md").write_text("# Page\n\nSee [it](../no-such-file.py).\n")
    monkeypatch.setattr(source, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match=r"docs/index.md: the link ../no-such-file.py leads nowhere"):
        source.assemble(tmp_path / "site")
