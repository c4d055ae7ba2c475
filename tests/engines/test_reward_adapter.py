"""A reward model beside a policy marks as it does by itself, and leaves the policy and its training as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from interank.artifact import Artifact
from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_classifier, load_model, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.engines.reward_adapter import Explanation, RewardAdapter, open_reward
from interank.errors import ArtifactError
from interank.settings import HeadSettings
from interank.training.preferences import let_pool_by_mask
from interank.types import Document, Query
from tests.support.reward_models import tiny_reward

QUERY, DOCUMENT = "Where is the red fox?", "A red fox sits in the barn."
ROWS = [
    Explanation(QUERY, DOCUMENT, "same colour, same animal."),
    Explanation(QUERY, DOCUMENT, "other colour, same animal. " * 4),
    Explanation(QUERY, DOCUMENT, ""),
    Explanation("Where is the blue owl?", DOCUMENT, "same colour, same animal."),
    Explanation(QUERY, "A pink pig sits in the wood. " * 9, "other colour, other animal."),
    Explanation(QUERY, DOCUMENT, "same colour, same animal."),
]


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return tiny_reward(tiny_folder, tmp_path_factory.mktemp("reward"))


def policy_of(tiny_folder: Path, adapter: Path) -> Any:
    return with_adapter(load_model(find_model(str(tiny_folder))), adapter / "adapter", trainable=True)


def beside(model: Any, made: Artifact, tiny_folder: Path) -> RewardAdapter:
    return RewardAdapter(model, made.path, load_tokenizer(find_model(str(tiny_folder))))


def test_marks_beside_a_policy_are_its_own(made: Artifact, tiny_folder: Path, tiny_adapter: Path) -> None:
    alone = open_reward(made.path)(ROWS)
    together = beside(policy_of(tiny_folder, tiny_adapter), made, tiny_folder)
    assert together(ROWS) == pytest.approx(alone, abs=1e-5)
    # One at a time, in the other order, and with nothing in common.
    assert [together([row])[0] for row in ROWS[::-1]][::-1] == pytest.approx(alone, abs=1e-5)
    assert len({round(value, 4) for value in alone}) == 5
    assert alone[0] == alone[-1]


def test_layers_that_allow_no_tree_are_read_in_padded_rows(made: Artifact) -> None:
    reward = open_reward(made.path)
    by_tree = reward(ROWS)
    assert reward._runner is not None
    reward._runner = None
    assert reward(ROWS) == pytest.approx(by_tree, abs=1e-5)


def state_of(model: Any) -> dict[str, Any]:
    return {
        "active": model.active_adapter,
        "trained": {name for name, weight in model.named_parameters() if weight.requires_grad},
        "training": {name for name, module in model.named_modules() if module.training},
        "drawn": torch.get_rng_state().tolist(),
        "gradients": {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None},
        "reads": model(input_ids=torch.arange(3, 40)[None]).logits.tolist(),
    }


def test_a_policy_is_left_as_it_was_to_the_last_flag(made: Artifact, tiny_folder: Path, tiny_adapter: Path) -> None:
    model = policy_of(tiny_folder, tiny_adapter)
    model(input_ids=torch.arange(3, 40)[None]).logits.sum().backward()
    # As no trainer has it, so that whatever is set by rote is seen.
    name, weight = next((name, weight) for name, weight in model.named_parameters() if "lora_A" in name)
    weight.requires_grad_(False)
    model.train()
    model.get_base_model().model.layers[0].eval()
    before = state_of(model)
    marks = beside(model, made, tiny_folder)
    own = {".reward.", ".reward_"}
    assert not {key for key in state_of(model)["trained"] if any(part in key for part in own)}
    marks(ROWS)
    after = state_of(model)
    new = {key for key in after["training"] if "reward" in key.split(".")}
    assert after.pop("training") - new == before.pop("training")
    assert after == before
    assert name not in after["trained"]
    assert after["gradients"]


def test_an_error_on_the_way_leaves_the_policy_as_it_was(
    made: Artifact, tiny_folder: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = policy_of(tiny_folder, tiny_adapter)
    marks = beside(model, made, tiny_folder)
    before = state_of(model)

    def fails(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(marks._runner, "states", fails)
    with pytest.raises(RuntimeError, match="no memory"):
        marks(ROWS)
    assert state_of(model) == before


def test_two_reward_models_stand_beside_one_policy(made: Artifact, tiny_folder: Path, tiny_adapter: Path) -> None:
    model = policy_of(tiny_folder, tiny_adapter)
    first, second = beside(model, made, tiny_folder), beside(model, made, tiny_folder)
    assert {*model.peft_config} == {"default", "reward", "reward2"}
    assert first(ROWS) == second(ROWS)


def test_an_artifact_of_another_kind_is_no_reward_model(tiny_adapter: Path) -> None:
    with pytest.raises(ArtifactError, match="reward"):
        open_reward(tiny_adapter)


def test_documents_are_cut_alike_whatever_the_explanation(tiny_folder: Path) -> None:
    settings = HeadSettings(max_query_tokens=16, max_explanation_tokens=20, max_length=80)
    encoder = PairEncoder(load_tokenizer(find_model(str(tiny_folder))), settings)
    document = Document("d", "A pink pig sits in the wood. " * 30)
    short, long = (encoder.pair(Query("q", QUERY), document, text) for text in ("same.", "other colour. " * 30))
    assert len(long.ids) == 80
    assert short.ids[: 80 - 20] == long.ids[: 80 - 20]
    with pytest.raises(ValueError, match="explanation"):
        encoder.pair(Query("q", QUERY), document)


def test_a_row_that_ends_with_the_padding_token_is_read_at_its_end(tiny_folder: Path) -> None:
    settings = HeadSettings(max_query_tokens=16, max_explanation_tokens=20, max_length=80, end_token=True)
    encoder = PairEncoder(load_tokenizer(find_model(str(tiny_folder))), settings)
    assert encoder.tokenizer.pad_token_id == encoder.tokenizer.eos_token_id
    torch.manual_seed(1)
    model: Any = load_classifier(find_model(str(tiny_folder)), headless=True)
    model.config.pad_token_id = encoder.tokenizer.pad_token_id
    pairs = [encoder.pair(Query("q", QUERY), Document("d", DOCUMENT), text) for text in ("same.", "other colour. " * 3)]
    batch = encoder.batch(pairs)
    with torch.inference_mode():
        stock = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[:, 0].tolist()
        let_pool_by_mask(model, encoder)
        found = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[:, 0].tolist()
        alone = [
            model(
                input_ids=torch.tensor([pair.ids]), attention_mask=torch.ones((1, len(pair.ids)), dtype=torch.long)
            ).logits.item()
            for pair in pairs
        ]
    assert found == pytest.approx(alone, abs=1e-6)
    assert found != pytest.approx(stock, abs=1e-4)
