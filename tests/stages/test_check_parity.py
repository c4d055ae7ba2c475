"""All variants of a model are compared; an engine with another template, two beginnings or no adapter is caught."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from interank.cli.app import main
from interank.diagnosis import variants
from interank.diagnosis.certificate import Certificate
from interank.diagnosis.variants import ParityTargets
from interank.engines.prompts import Prompt
from interank.engines.protocol import LabelLogits
from interank.engines.transformers import TransformersEngine
from interank.stages.export import export
from interank.stages.parity import check_parity
from tests.support import rule
from tests.support.servers import small_vllm
from tests.support.tiny import strong_adapter, tiny_tokenizer

# vLLM and what it imports warn of their own and of torch's old ways.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
ALONE = ParityTargets(vllm=False)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strong_adapter(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("golden") / "golden.jsonl"
    rows = [
        {
            "query_id": colour,
            "query": rule.query_text(colour, "fox"),
            "documents": [rule.document_text(colour, animal, "barn") for animal in rule.ANIMALS],
        }
        for colour in rule.COLOURS[:2]
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def beyond(certificate: Certificate) -> list[str]:
    return [str(row.variant) for row in certificate.rows if row.faults]


def exact(certificate: Certificate) -> list[str]:
    return [str(row.variant) for row in certificate.rows if row.variant.kind == "exact"]


def test_what_is_the_same_is_certified_and_the_faults_made_on_purpose_are_caught(adapter: Path, golden: Path) -> None:
    certificate = check_parity(str(adapter), replace(ALONE, against=(str(adapter.parent / "merged"),)), golden)
    in_float32 = [row for row in certificate.rows if row.variant.kind == "exact"]
    assert [(row.variant.adapter, row.variant.batch) for row in in_float32] == [
        ("apart", 1),
        ("apart", 64),
        ("folded", 64),
    ]
    assert not [row.faults for row in in_float32 if row.faults]
    assert {row.variant.numbers for row in certificate.rows} == {"float32", "bfloat16", "bfloat16 layers"}
    rounded = next(
        row for row in certificate.rows if row.variant.adapter == "merged" and row.variant.numbers == "float32"
    )
    assert rounded.difference.largest > 1e-4, "weights rounded to bfloat16 cannot score as those in float32"
    [other] = [row for row in certificate.rows if row.variant.model]
    assert other.difference.largest < 1e-3
    assert [control.fault for control in certificate.controls] == [
        "first token twice",
        "another chat template",
        "no adapter",
    ]
    assert all("exact" in control.caught_by for control in certificate.controls)
    assert certificate.skipped == ("vllm: left out",)


def test_a_model_without_an_adapter_has_less_to_compare(adapter: Path, golden: Path) -> None:
    certificate = check_parity(str(adapter.parent / "merged"), ALONE, golden)
    assert {row.variant.adapter for row in certificate.rows} == {"none"}
    assert "merged: the model has no adapter" in certificate.skipped
    assert len(certificate.controls) == 2


class BeginsTwice(TransformersEngine):
    """Puts a beginning-of-sequence token before the one that is there."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        return super().label_logits([replace(p, prefix=(p.prefix[0], *p.prefix)) for p in prompts], labels)


class OtherTemplate(TransformersEngine):
    """Takes the chat's frame off, and puts its own words in its place."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        tokenizer = tiny_tokenizer()
        start = tokenizer.convert_tokens_to_ids("<|im_start|>")
        words = tuple(tokenizer("user: ", add_special_tokens=False)["input_ids"])
        assert all(prompt.prefix[0] == start for prompt in prompts)
        return super().label_logits([replace(p, prefix=(*words, *p.prefix[1:])) for p in prompts], labels)


class NoAdapter(TransformersEngine):
    """Leaves the adapter out, where there is one."""

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        if not hasattr(self.model, "disable_adapter"):
            return super().label_logits(prompts, labels)
        with self.model.disable_adapter():
            return super().label_logits(prompts, labels)


@pytest.mark.parametrize("broken", [BeginsTwice, OtherTemplate, NoAdapter])
def test_a_broken_engine_is_caught(
    adapter: Path, golden: Path, broken: type[TransformersEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "TransformersEngine", broken)
    certificate = check_parity(str(adapter), ALONE, golden)
    folded = "transformers, float32, adapter folded, batch 64"
    # In a model with its adapter folded in there is none to leave out.
    expected = [variant for variant in exact(certificate) if broken is not NoAdapter or variant != folded]
    assert set(expected) <= set(beyond(certificate))
    assert (folded in beyond(certificate)) == (broken is not NoAdapter)


def with_template(folder: Path, out: Path, template: str) -> Path:
    shutil.copytree(folder, out)
    (out / "chat_template.jinja").write_text(template)
    return out


@pytest.mark.parametrize("fault", ["template", "beginning", "adapter"])
def test_a_folder_that_is_not_the_same_is_caught(adapter: Path, golden: Path, fault: str, tmp_path: Path) -> None:
    models = adapter.parent
    template = (models / "merged" / "chat_template.jinja").read_text()
    other = {
        "template": lambda: with_template(models / "merged", tmp_path / "other", template.replace("\n'", " '")),
        "beginning": lambda: with_template(models / "merged", tmp_path / "other", "{{ '<|im_start|>' }}" + template),
        "adapter": lambda: models / "base",
    }[fault]()
    certificate = check_parity(str(adapter), replace(ALONE, against=(str(other),)), golden)
    [row] = [row for row in certificate.rows if row.variant.model]
    assert row.faults
    assert ("16 of 16 prompts differ" in row.faults) == (fault != "adapter")


def test_the_verb_prints_a_table_and_fails_where_something_differs(
    adapter: Path, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["check-parity", str(adapter), "--engines", "transformers", "--golden", str(golden), "--quiet"]
    file = tmp_path / "parity.json"
    assert main([*arguments, "--against", str(adapter.parent / "base"), "--json", str(file)]) == 1
    printed = capsys.readouterr()
    assert "differ by more than is allowed" in printed.err
    line = next(line for line in printed.out.splitlines() if str(adapter.parent / "base") in line)
    assert "a score differs by" in line
    assert "fault: no adapter" in printed.out
    assert "skipped: vllm: left out" in printed.out
    told = json.loads(file.read_text())
    assert told["rows"][0]["way"]["engine"] == "transformers"
    assert len(told["faults"]) == 1 + sum(bool(row["faults"]) for row in told["rows"][:-1])
    assert main([*arguments, "--json", str(tmp_path / "no" / "such.json")]) == 1
    assert str(tmp_path / "no") in capsys.readouterr().err


@pytest.mark.slow
def test_vllm_is_the_same(adapter: Path, golden: Path) -> None:
    with small_vllm():
        certificate = check_parity(str(adapter), ParityTargets(vllm=True), golden)
    found = {str(row.variant): row for row in certificate.rows if row.variant.engine == "vllm"}
    assert len(found) == 4
    assert not [row.faults for row in found.values() if row.variant.kind == "exact" and row.faults]
    assert "tensor parallel 2: it needs two GPUs, and there are 0" in certificate.skipped


def test_a_killed_certificate_goes_on_where_it_was(
    adapter: Path, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = check_parity(str(adapter), ALONE, golden)
    opened = variants.Opener.opened
    asked: list[str] = []

    def killed(opener: variants.Opener, variant: variants.Variant) -> Any:
        asked.append(str(variant))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return opened(opener, variant)

    monkeypatch.setattr(variants.Opener, "opened", killed)
    output = tmp_path / "parity.json"
    with pytest.raises(KeyboardInterrupt):
        check_parity(str(adapter), ALONE, golden, output=output)
    assert (tmp_path / ".parity.json.partial.jsonl").is_file()
    resumed = check_parity(str(adapter), ALONE, golden, output=output)
    assert len(asked) == 3 + len(whole.rows) - 2
    assert [row.difference for row in resumed.rows] == [row.difference for row in whole.rows]
    assert [control.difference for control in resumed.controls] == [control.difference for control in whole.controls]
    assert not list(tmp_path.glob(".parity*"))


def test_an_export_is_one_more_way(tmp_path: Path) -> None:
    adapter = strong_adapter(tmp_path)
    out = tmp_path / "st"
    export(adapter, out)
    golden = tmp_path / "golden.jsonl"
    golden.write_text(
        json.dumps({"query_id": "q", "query": "why?", "documents": ["Because.", "No.", "It rains <|im_end|>."]}) + "\n"
    )
    certificate = check_parity(str(adapter), ParityTargets(vllm=False, against=(str(out),)), golden)
    rows = {str(row.variant): row for row in certificate.rows if row.variant.reader}
    assert {row.variant.reader for row in rows.values()} >= {"transformers"}
    assert all(not row.faults and row.difference.largest < 1e-4 for row in rows.values())
    # One whose rows are in another order is found.
    file = out / "model.safetensors"
    weights = load_file(file)
    weights["score.weight"] = weights["score.weight"][[0, 2, 1]].contiguous()
    save_file(weights, file, metadata={"format": "pt"})
    broken = check_parity(str(adapter), ParityTargets(vllm=False, against=(str(out),)), golden)
    assert any(row.faults for row in broken.rows if row.variant.reader == "transformers")
