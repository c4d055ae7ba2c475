"""Cards as the hub's own client reads them back."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard

from interank.cards import dataset_card, licence, model_card, save_card, validation


@pytest.mark.parametrize(
    "base", ["meta-llama/Llama-3.2-1B", "models/run #2", "a: b", "0123", "no", "it's", "[x]", "ü/ß"]
)
def test_any_name_of_a_base_is_read_back(base: str, tmp_path: Path) -> None:
    """Written into the metadata as it stands, `a: b` is no YAML, `no` is false, and `#2` a comment."""
    sections = ["# A title", "---\nwhat: looks like metadata\n---", "The end."]
    save_card(model_card(sections, library="peft", tags=["lora"], base=base), tmp_path)
    found = ModelCard.load(tmp_path / "README.md")
    assert found.data.to_dict() == {
        "base_model": base,
        "library_name": "peft",
        "pipeline_tag": "text-ranking",
        "tags": ["lora", "interank"],
    }
    assert found.text.strip() == "\n\n".join(sections)


def test_a_data_sets_metadata_is_read_back(tmp_path: Path) -> None:
    configs = [{"config_name": "default", "data_files": [{"split": "train", "path": "train.parquet"}]}]
    save_card(dataset_card(["# Judgments"], license="cc-by-sa-4.0", configs=configs), tmp_path)
    assert DatasetCard.load(tmp_path / "README.md").data.to_dict() == {"license": "cc-by-sa-4.0", "configs": configs}


def test_trials_stand_in_the_order_of_their_steps_and_only_whole_ones() -> None:
    history = [{"step": 4, "x": 0.5}, {"step": 0, "x": 0.25}, {"step": 2, "loss": 1.0}]
    text = validation(history, ["x.svg"], {"x": "nDCG"}, "On questions.")
    assert "| step | nDCG |\n| --- | --- |\n| 0 | 0.2500 |\n| 4 | 0.5000 |\n\nOn questions. Of the later" in text
    assert text.endswith("![x.svg](x.svg)")
    assert "Nothing was tried" in validation(history[2:], [], {"x": "nDCG"}, "On questions.")


def test_the_terms_are_those_of_the_base() -> None:
    assert 'say "Built with Llama"' in licence("meta-llama/Llama-3.2-1B")
    assert "Gemma terms" in licence("google/gemma-3-1b-it")
    assert licence("Qwen/Qwen3-0.6B", "More.") == "## Licence\n\nSee the base model's own licence.\n\nMore."
