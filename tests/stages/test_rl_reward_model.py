"""rl with a reward model of one's own beside the policy: nothing of the training moves but by its marks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from interank import judging
from interank.artifact import Artifact, Existing, open_artifact
from interank.engines import reward_adapter
from interank.engines.adapters import ADAPTER_WEIGHTS, with_adapter
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.reward_adapter import Explanation, RewardAdapter, open_reward, require_same
from interank.errors import ArtifactError, InputError, ModelError
from interank.rewards import Reward
from interank.settings import LoraRecipe, PromptSettings, RewardRecipe
from interank.settings.rewards import MarkingRecipe
from interank.stages import distill, reward, rl
from interank.stages.explanation_rewards import marking
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.recipe import DistillJudge, RlJudge
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.marked_explanations import explained_artifact, judged, recipe_of
from tests.support.reward_models import tiny_reward
from tests.support.tiny import strong_model, tiny_model

pytestmark = pytest.mark.own_rewards

# Asks the reward model, and rewards nothing by it; without a model it asks nobody.
ASKING = """
CREDIT = "explanation"

def reward(*, completions, query, document, model=None, **_):
    if model is not None:
        found = model([(q, d, c) for q, d, c in zip(query, document, completions)])
        assert len({round(value, 3) for value in found}) > 1
    return [0.0] * len(completions)
"""
JUDGED = rule.examples(0, queries=8, documents=4)
TRAINER = {
    "max_steps": 3,
    "num_generations": 2,
    "per_device_train_batch_size": 16,
    "gradient_checkpointing": False,
    "save_steps": 1,
    "logging_steps": 1,
    "learning_rate": 1.0e-3,
}


# Every rollout is recorded.
PAID = {"validation": {"questions": 0, "every": 1}, "max_completion_tokens": 24}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("rl_reward")
    (place / "asking.py").write_text(ASKING)
    judgments_artifact(place / "judgments", JUDGED)
    return place


@pytest.fixture(scope="module")
def policy(tiny_folder: Path, folder: Path) -> Path:
    return policy_on(tiny_folder, folder, "policy")


def policy_on(base: Path, folder: Path, name: str, **trainer: Any) -> Path:
    """An adapter that drops out while it is trained, so that modes and drawn numbers matter."""
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(folder / f"{name}-taught", rule.examples(1, queries=2)),
        student=str(base),
        prompt=PromptSettings(max_length=300, max_query_tokens=64, max_document_tokens=64),
        lora=LoraRecipe(rank=4, alpha=8, dropout=0.2),
        trainer={"max_steps": 2, "gradient_checkpointing": False, "save_strategy": "no", **trainer},
    )
    return distill.run(recipe, folder / name).path


@pytest.fixture(scope="module")
def model(tiny_folder: Path, folder: Path) -> Artifact:
    return tiny_reward(tiny_folder, folder)


@pytest.fixture(scope="module")
def base(folder: Path) -> Path:
    """A random model of larger weights writes something at least."""
    return strong_model(folder / "base")


@pytest.fixture(scope="module")
def writer(base: Path, folder: Path) -> Path:
    """It has learned so much that most of what it writes has a grade."""
    return policy_on(base, folder, "writer", max_steps=40, learning_rate=1.0e-2)


@pytest.fixture(scope="module")
def trained(base: Path, folder: Path) -> Artifact:
    """As its stage leaves it, of so many steps that it tells texts apart."""
    judgments = explained_artifact(folder / "trained-explained", judged(queries=6, held_out=2))
    trainer = {"max_steps": 12, "learning_rate": 1.0e-2, "per_device_train_batch_size": 8, "save_strategy": "no"}
    recipe = recipe_of(base, judgments, controls=False, trainer={**trainer, "gradient_checkpointing": False})
    return reward.run(recipe, folder / "trained-reward")


def refined(
    folder: Path,
    policy: Path,
    out: Path,
    rewards: list[dict[str, Any]],
    *,
    existing: Existing = "refuse",
    **more: Any,
) -> Artifact:
    recipe = {
        "stage": "rl",
        "judgments": folder / "judgments",
        "adapter": policy,
        "max_completion_tokens": 14,
        "documents_per_query": 4,
        "validation": {"questions": 0},
        "rewards": rewards,
        "trainer": TRAINER,
        **more,
    }
    return rl.run(RlJudge.model_validate(recipe), out, existing=existing)


def figures(made: Artifact) -> list[Mapping[str, float]]:
    """Losses and gradients of each step, without times."""
    rows = [json.loads(line) for line in (made.path / "log.jsonl").read_text().splitlines()]
    return [{name: row[name] for name in ("loss", "grad_norm", "reward") if name in row} for row in rows]


def asking(folder: Path, model: Artifact | None) -> list[dict[str, Any]]:
    params = {"model": str(model.path)} if model else {}
    return [{"use": "grade_agreement"}, {"use": "well_formed"}, {"use": str(folder / "asking.py"), "params": params}]


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_asking_a_reward_model_moves_no_loss_gradient_or_weight(
    folder: Path, policy: Path, model: Artifact, tmp_path: Path, beta: float
) -> None:
    given = {"trainer": {**TRAINER, "beta": beta}, "shared_prefix": beta == 0}
    without = refined(folder, policy, tmp_path / "without", asking(folder, None), **given)
    asked = refined(folder, policy, tmp_path / "asked", asking(folder, model), **given)
    assert figures(asked) == figures(without)
    assert any(row.get("grad_norm") for row in figures(without))
    found, wanted = (load_file(each.path / "adapter" / ADAPTER_WEIGHTS) for each in (asked, without))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_checkpoint_with_a_reward_model_beside_it_is_gone_on_with(
    folder: Path, policy: Path, model: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "ending.py").write_text(
        ASKING + "\n_asked = reward\n\n"
        "def reward(*, trainer_state, file, model, **columns):\n"
        "    import pathlib\n"
        "    if trainer_state.global_step == 2 and not pathlib.Path(file).exists():\n"
        "        pathlib.Path(file).touch()\n"
        "        raise RuntimeError('ended on the way')\n"
        "    return _asked(model=model, **columns)\n"
    )
    params = {"model": str(model.path), "file": str(tmp_path / "once")}
    rewards = [*asking(folder, None)[:2], {"use": str(tmp_path / "ending.py"), "params": params}]
    with pytest.raises(InputError, match="ended on the way"):
        refined(folder, policy, tmp_path / "rl", rewards)
    resumed = refined(folder, policy, tmp_path / "rl", rewards, existing="resume")
    whole = refined(folder, policy, tmp_path / "whole", asking(folder, model))
    found, wanted = (load_file(each.path / "adapter" / ADAPTER_WEIGHTS) for each in (resumed, whole))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_an_explanation_is_worth_the_sigmoid_of_its_score_whatever_the_grade(model: Artifact) -> None:
    reward = Reward.from_recipe(RewardRecipe(use="explanation_quality", params={"model": str(model.path)}))
    marks = open_reward(model.path)
    texts = ["same colour, same animal.", "other colour, other animal."]
    label = judging.LABEL_LEAD
    answers = [f"{label}2\n\n{texts[0]}", f"{texts[0]}\n\n{label}0", f"{label}1\n{texts[1]}", "no label"]
    query, document = ["Where is the red fox?"] * 4, ["A red fox sits in the barn."] * 4
    found = reward.given(model=marks)(completions=answers, query=query, document=document)
    one, other = torch.tensor(marks([Explanation(query[0], document[0], text) for text in texts])).sigmoid().tolist()
    # What cannot be read is worth less than any explanation.
    assert found == pytest.approx([one, one, other, -1])
    raw = replace(reward, params={**reward.params, "scale": "raw", "model": marks})
    assert raw(completions=answers[:3], query=query[:3], document=document[:3])[0] == pytest.approx(
        marks([Explanation(query[0], document[0], texts[0])])[0]
    )


def test_a_training_is_paid_by_what_it_says_beside_its_policy(
    folder: Path, writer: Path, trained: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one set of base weights, of which only the policy's adapter moves."""
    loaded: list[Any] = []

    def load(*given: Any, **more: Any) -> Any:
        loaded.append(load_model(*given, **more))
        return loaded[-1]

    for module in (rl, reward_adapter):
        monkeypatch.setattr(module, "load_model", load)
    made = refined(folder, writer, tmp_path / "rl", [use(trained.path)], **PAID)
    monkeypatch.undo()
    # What each completion earned is what the reward model, opened by itself, says of it.
    queries = {item.query.query_id: item.query.text for item in JUDGED}
    documents = {item.document.doc_id: item.document.full_text for item in JUDGED}
    rows = [json.loads(line) for line in (made.path / "rollouts.jsonl").read_text("utf-8").splitlines()]
    assert {row["step"] for row in rows} == {1, 2, 3}
    judgments = [judging.parse(row["completion"]) for row in rows]
    read = [
        Explanation(queries[row["query_id"]], documents[row["doc_id"]], judgment.reasoning)
        for row, judgment in zip(rows, judgments, strict=True)
        if judgment is not None and judgment.reasoning
    ]
    said = iter(torch.tensor(open_reward(trained.path)(read)).sigmoid().tolist())
    wanted = [next(said) if judgment is not None and judgment.reasoning else -1.0 for judgment in judgments]
    assert [row["rewards"] for row in rows] == [{"explanation_quality": pytest.approx(one, abs=1e-4)} for one in wanted]
    assert len({round(one, 3) for one in wanted if one > 0}) > 5
    # One base, as it was; the reward model's adapter on it as its stage left it, and only the policy's moved.
    (shared,) = loaded
    before, adapters = load_model(find_model(str(_base_of(writer)))).state_dict(), {}
    for name, weight in shared.state_dict().items():
        if "lora_" in name:
            adapters[name] = weight
        else:
            assert torch.equal(weight, before.pop(name.replace(".base_layer", ""))), name
    assert not before
    marking = load_file(trained.path / "adapter" / ADAPTER_WEIGHTS)
    assert {name: weight for name, weight in adapters.items() if ".reward." in name}.keys() == {
        _inside(name, "reward") for name in marking
    }
    assert all(torch.equal(adapters[_inside(name, "reward")], weight) for name, weight in marking.items())
    assert open_artifact(trained.path).digest == trained.digest
    start, end = (load_file(each / "adapter" / ADAPTER_WEIGHTS) for each in (writer, made.path))
    assert {_inside(name, "default") for name in end} | {_inside(name, "reward") for name in marking} == adapters.keys()
    assert any(not torch.equal(end[name], start[name]) for name in end)
    assert made.manifest["inputs"]["rewards.0.model"]["kind"] == "reward"
    assert made.recipe()["rewards"][0]["params"]["model"] == str(trained.path)
    assert not (made.path / "adapter" / "reward").exists()


def test_a_training_that_it_pays_is_gone_on_with_to_the_same_adapter(
    folder: Path, writer: Path, trained: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewards = [use(trained.path)]
    whole = refined(folder, writer, tmp_path / "whole", rewards, **PAID)
    mark, asked = RewardAdapter.__call__, []

    def ending(model: RewardAdapter, explanations: Sequence[Explanation]) -> list[float]:
        asked.append(len(explanations))
        if len(asked) == 3:
            raise InputError("ended on the way")
        return mark(model, explanations)

    with monkeypatch.context() as patched, pytest.raises(InputError, match="ended on the way"):
        patched.setattr(RewardAdapter, "__call__", ending)
        refined(folder, writer, tmp_path / "rl", rewards, **PAID)
    assert not (tmp_path / "rl").exists()
    resumed = refined(folder, writer, tmp_path / "rl", rewards, **PAID, existing="resume")
    found, wanted = (load_file(each.path / "adapter" / ADAPTER_WEIGHTS) for each in (resumed, whole))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert (resumed.path / "rollouts.jsonl").read_bytes() == (whole.path / "rollouts.jsonl").read_bytes()


def test_a_reward_model_of_another_base_or_prompt_or_kind_is_refused(
    folder: Path, policy: Path, tmp_path: Path
) -> None:
    other = tiny_reward(tiny_model(tmp_path / "other", seed=5), tmp_path)
    with pytest.raises(InputError, match="another base; train a reward model on the policy's own"):
        refined(folder, policy, tmp_path / "rl", [use(other.path)])
    worded = tiny_reward(Path(str(_base_of(policy))), tmp_path, "worded", prompt_hash="0123456789abcdef")
    with pytest.raises(InputError, match=r"another wording of the prompt \(0123456789abcdef"):
        refined(folder, policy, tmp_path / "rl", [use(worded.path)])
    with pytest.raises(ArtifactError, match="reward"):
        refined(folder, policy, tmp_path / "rl", [use(policy)])
    assert not (tmp_path / ".rl.partial").exists()


def test_a_reward_model_of_another_base_is_refused_where_the_base_was_yet_to_be_fetched(
    folder: Path, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tiny_reward(tiny_model(tmp_path / "other", seed=5), tmp_path)
    monkeypatch.setattr("interank.engines.bases.base_here", lambda *_: None)
    with pytest.raises(InputError, match="another base; train a reward model on the policy's own"):
        refined(folder, policy, tmp_path / "rl", [use(other.path)])
    recipe = MarkingRecipe(reader=policy, rewards=[RewardRecipe.model_validate(use(other.path))])
    with pytest.raises(InputError, match="another base; train a reward model on the policy's own"):
        marking(recipe, None, 8)


def test_a_fence_makes_no_other_prompt_whatever_is_asked_for(folder: Path, policy: Path, tmp_path: Path) -> None:
    base = Path(str(_base_of(policy)))
    asked = PromptSettings(max_length=400, max_query_tokens=64, max_document_tokens=64, instruction="Prefer barns.")
    recipe = DistillJudge(
        stage="distill",
        judgments=judgments_artifact(tmp_path / "taught", rule.examples(1, queries=1)),
        student=str(base),
        prompt=asked.model_copy(update={"fence": True}),
        trainer={"max_steps": 1, "gradient_checkpointing": False, "save_strategy": "no"},
    )
    fenced = distill.run(recipe, tmp_path / "fenced")
    plain = tiny_reward(base, tmp_path, "plain", prompt_hash=asked.wording)
    assert asked.wording != fenced.manifest["prompt_hash"]
    require_same(plain, fenced, find_model(str(base)))
    other = tiny_reward(base, tmp_path, "other", prompt_hash=PromptSettings(instruction="Prefer owls.").wording)
    with pytest.raises(InputError, match="another wording of the prompt"):
        require_same(other, fenced, find_model(str(base)))


def test_a_policy_may_not_write_more_than_its_reward_model_reads(
    folder: Path, policy: Path, model: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"reads 48 tokens of an explanation.*write 49.*to 48 or less"):
        refined(folder, policy, tmp_path / "rl", [use(model.path)], max_completion_tokens=49)
    assert not (tmp_path / ".rl.partial").exists()


def test_an_evaluation_tells_that_its_reward_model_reads_less_than_is_written(
    policy: Path, model: Artifact, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = MarkingRecipe(reader=policy, rewards=[RewardRecipe.model_validate(use(model.path))])
    marking(recipe, None, 48)
    assert "not marked" not in caplog.text
    marking(recipe, None, 49)
    assert f"{model.path} reads 48 tokens of an explanation, and max_reasoning_tokens lets write 49" in caplog.text


def test_a_reward_model_that_is_not_there_is_told_before_anything_is_loaded(
    folder: Path, policy: Path, model: Artifact, tmp_path: Path
) -> None:
    instead = [{"use": "well_formed"}, {"use": "support"}]
    with pytest.raises(ArtifactError, match="no-such-reward"):
        refined(folder, policy, tmp_path / "rl", instead, reward_model=tmp_path / "no-such-reward")
    misspelt = model.path.with_name("rewrd")
    with pytest.raises(ModelError, match=rf"rewards\.0\.model.*rewrd does not exist; did you mean {model.path}"):
        refined(folder, policy, tmp_path / "rl", [use(misspelt)])
    assert not (tmp_path / ".rl.partial").exists()


def test_a_grade_without_an_explanation_earns_what_cannot_be_read_does(model: Artifact) -> None:
    reward = Reward.from_recipe(RewardRecipe(use="explanation_quality", params={"model": str(model.path)}))
    marks = open_reward(model.path)
    answers = [f"{judging.LABEL_LEAD}2", f"{judging.LABEL_LEAD}2\n\nsame colour, same animal.", "no label"]
    columns = {"query": ["Where is the red fox?"] * 3, "document": ["A red fox sits in the barn."] * 3}
    empty, explained, unreadable = reward.given(model=marks)(completions=answers, **columns)
    assert empty == unreadable == -1
    assert explained is not None and explained > 0
    raw = reward.given(model=marks, scale="raw")(completions=answers, **columns)
    assert raw[1] is not None and raw[0] == raw[2] == pytest.approx(raw[1] - 1)
    with pytest.raises(InputError, match=r"scale is 'relative'.*absolute or raw"):
        reward.given(model=marks, scale="relative")(completions=answers, **columns)


def weighted(**trainer: Any) -> dict[str, Any]:
    """Reward-weighted refinement, in short."""
    given = {"max_steps": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1, "save_steps": 1}
    more = {"gradient_checkpointing": False, "learning_rate": 1.0e-2}
    algorithm = {"algorithm": "reward_weighted", "reward_weighted": {"samples": 2}}
    return {**algorithm, "documents_per_query": 4, "validation": {}, "trainer": {**given, **more, **trainer}}


def test_reward_weighted_goes_on_with_what_it_trained_beside_a_reward_model(
    folder: Path, policy: Path, model: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = refined(folder, policy, tmp_path / "whole", [use(model.path)], **weighted())

    def ended(_: object) -> None:
        raise InputError("ended behind the last step")

    with monkeypatch.context() as patched, pytest.raises(InputError, match="behind the last step"):
        patched.setattr(rl, "_hand_out", ended)
        refined(folder, policy, tmp_path / "rl", [use(model.path)], **weighted())
    resumed = refined(folder, policy, tmp_path / "rl", [use(model.path)], existing="resume", **weighted())
    found, wanted, start = (
        load_file(each / "adapter" / ADAPTER_WEIGHTS) for each in (resumed.path, whole.path, policy)
    )
    assert any(not torch.equal(wanted[name], start[name]) for name in wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


TELLING = """
import json
import pathlib

def reward(*, completions, query, document, file, reader=None, trainer_state=None, **_):
    told = reader.grades([(query[0], document[0])])
    with open(file, "a") as stream:
        stream.write(json.dumps([query[0], document[0], told[0]]) + chr(10))
    once = pathlib.Path(file).with_name("once")
    if trainer_state is not None and trainer_state.global_step == 2 and not once.exists():
        once.touch()
        raise RuntimeError("ended on the way")
    return [float(len(set(completion))) for completion in completions]
"""


@pytest.mark.parametrize("algorithm", ["grpo", "reward_weighted"])
def test_rewards_ask_the_adapter_from_which_a_training_starts(
    folder: Path, policy: Path, tmp_path: Path, algorithm: str
) -> None:
    (tmp_path / "telling.py").write_text(TELLING)
    rewards = [{"use": str(tmp_path / "telling.py"), "params": {"file": str(tmp_path / "told")}}, {"use": "support"}]
    if algorithm == "grpo":
        given: dict[str, Any] = {"trainer": {**TRAINER, "max_steps": 4, "learning_rate": 5.0e-2}}
        with pytest.raises(InputError, match="ended on the way"):
            refined(folder, policy, tmp_path / "rl", rewards, **given)
        made = refined(folder, policy, tmp_path / "rl", rewards, existing="resume", **given)
    else:
        made = refined(folder, policy, tmp_path / "rl", rewards, **weighted(max_steps=1))
    told = [json.loads(line) for line in (tmp_path / "told").read_text().splitlines()]
    start, end = reader_of(policy), reader_of(made.path)
    for query, document, three in told:
        assert three == pytest.approx(start.grades([(query, document)])[0], abs=1e-5)
    assert told
    if algorithm == "grpo":
        # What is trained grades otherwise by then.
        moved = [end.grades([(query, document)])[0] for query, document, _ in told]
        assert all(three != pytest.approx(now, abs=1e-3) for (*_, three), now in zip(told, moved, strict=True))


def reader_of(adapter: Path) -> ModelReader:
    """An adapter that reads, by itself."""
    base, made = find_model(str(_base_of(adapter))), open_artifact(adapter, "adapter")
    encoder = PromptEncoder(load_tokenizer(base), PromptSettings.model_validate(made.manifest["prompt"]))
    return ModelReader(with_adapter(load_model(base), adapter / "adapter"), encoder, tokens=14)


def _inside(name: str, adapter: str) -> str:
    """What a weight of an adapter's file is called in the model that has the adapter."""
    inner = name.removeprefix("base_model.model.")
    return inner.replace("lora_A.", f"lora_A.{adapter}.").replace("lora_B.", f"lora_B.{adapter}.")


def use(place: Path) -> dict[str, Any]:
    return {"use": "explanation_quality", "params": {"model": str(place)}}


def _base_of(policy: Path) -> Path:
    made = open_artifact(policy, "adapter")
    return (policy / str(made.manifest["base"])).resolve()
