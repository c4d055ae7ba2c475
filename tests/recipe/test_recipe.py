"""Recipes are strict, and tell all their faults at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interank.errors import RecipeError
from interank.recipe import (
    GenerateRecipe,
    RunRecipe,
    find_recipe,
    load_recipe,
    recipe_files,
)
from interank.recipe.run import with_marking_model, with_reward_model
from interank.recipe.trainer_keys import OWNED, trainer_faults, trainer_fields
from interank.tasks.judge.recipe import WITHOUT_MODEL, DistillJudge, RlJudge

MINIMAL = "stage: distill\nstudent: some/model\n"


def recipe_of(folder: Path, text: str) -> str:
    path = folder / "r.yaml"
    path.write_text(text)
    return str(path)


def faults_of(folder: Path, text: str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe_of(folder, text), overrides)
    return str(caught.value)


@pytest.mark.parametrize("name", [name for name, _ in recipe_files()])
def test_every_recipe_that_comes_with_interank_resolves(name: str) -> None:
    assert load_recipe(name).stage in ("run", name.partition("/")[0])


@pytest.mark.parametrize("path", [path for _, path in recipe_files()], ids=str)
def test_every_recipe_begins_with_what_it_does_and_its_command_line(path: Path) -> None:
    header = path.read_text().partition("\nstage:")[0].splitlines()
    assert all(line.startswith("# ") for line in header)
    assert any(line.startswith(("#   interank ", "#   make ")) for line in header)


EXPLAINED = [
    (path, recipe)
    for name, path in recipe_files()
    if name.startswith("rl/") and name != "rl/original" and isinstance(recipe := load_recipe(name), RlJudge)
]


@pytest.mark.parametrize(("path", "recipe"), EXPLAINED, ids=[path.stem for path, _ in EXPLAINED])
def test_recipes_that_reward_explanations_do_so_without_a_model_and_say_what_it_costs(
    path: Path, recipe: RlJudge
) -> None:
    rewards = {entry.use: entry for entry in recipe.rewards}
    assert rewards.keys() >= {*WITHOUT_MODEL}
    # Quotes count by what the grade loses without them, at a low share.
    deletion = rewards["faithfulness"]
    assert deletion.params == {"deletion": 1.0}
    assert 0 < deletion.weight <= 0.1 * sum(rewards[use].weight for use in WITHOUT_MODEL)
    trainer = recipe.trainer
    rows = trainer["per_device_train_batch_size"] * trainer.get("gradient_accumulation_steps", 1)
    # Stance compares with another document of the same grade, which one query often lacks.
    assert rows >= 2 * recipe.documents_per_query * trainer["num_generations"]
    header = " ".join(line.removeprefix("#").strip() for line in path.read_text().partition("\nstage:")[0].splitlines())
    assert "up to five times" in header
    assert "no calls, no money" in header
    assert "With reward_model=" in header
    if "A judge" not in header:
        return
    calls = rows * trainer["max_steps"]
    assert f"asked {rows} times a step: {calls:,} calls of 1,200 tokens" in header
    told = re.search(r"(\d+)M in all.*some (\d+) dollars at the 0\.25", header)
    assert told is not None
    assert int(told[1]) == pytest.approx(1.2e-3 * calls, rel=0.05)
    assert int(told[2]) == pytest.approx(0.25 * int(told[1]), rel=0.1)
    gold = re.search(r"every: (\d+), samples: (\d+) another (\d+) calls", header)
    assert gold is not None
    assert int(gold[3]) == int(gold[2]) * (1 + trainer["max_steps"] // int(gold[1]))


RL = "stage: rl\nrewards: [{use: a}]\n"
LISTWISE = RL + "documents_per_query: 4\ngrade: {listwise: 1}\n"


def test_the_command_line_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    source = recipe_of(tmp_path, MINIMAL + "seed: 7\nlora: {rank: 8}\n")
    recipe = load_recipe(source, ["lora.rank=4", "judgments=runs/j"])
    assert isinstance(recipe, DistillJudge)
    assert (recipe.lora.rank, recipe.seed, recipe.lora.alpha) == (4, 7, 64)
    assert recipe.judgments == Path("runs/j")


def test_all_faults_are_told_with_file_key_and_nearest_key(tmp_path: Path) -> None:
    told = faults_of(
        tmp_path,
        MINIMAL + "lora: {rnak: 8, rank: many, dropout: high}\nsede: 1\ntrainer: {learning_rat: 1.0}\n",
        "prompt.order=both",
        "nonsense",
    )
    assert len(told.splitlines()) == 7
    assert all(line.startswith(str(tmp_path / "r.yaml")) for line in told.splitlines())
    assert re.search(r"lora\.rnak: .*'rank'", told)
    assert "lora.rank: 'many'" in told
    assert "lora.dropout: 'high'" in told
    assert re.search(r"sede: .*'seed'", told)
    assert re.search(r"trainer\.learning_rat: .*SFTConfig.*'learning_rate'", told)
    assert "prompt.order: 'both'" in told
    assert re.search(r"nonsense.*key=value", told)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage: distil\n", "stage is 'distil'.*generate, distill"),
        ("- a\n", r"\.yaml: .*mapping.*list"),
        ("stage: [\n", r"\.yaml: .*YAML"),
        ("stage: distill\n", "student: missing"),
        (MINIMAL + "trainer: {seed: 1}\n", "trainer.seed: .*`seed`"),
        (MINIMAL + "trainer: {learning_rate: fast}\n", "trainer.learning_rate: 'fast'.*float"),
        (MINIMAL + "trainer: {max_steps: true}\n", "trainer.max_steps: True.*int"),
        ("stage: rl\nrewards: []\n", "rewards: .*weight"),
        ("stage: rl\nrewards: [{use: a, wieght: 1}]\n", "rewards.0.wieght: .*'weight'"),
        (
            "stage: rl\nrewards: [{use: a}]\ndocuments_per_query: 3\ntrainer: {num_generations: 4}\n",
            "batch of 32 .* of 4 .* = 12",
        ),
        # TRL samples as many as it says here.
        (
            RL + "documents_per_query: 4\ntrainer: {per_device_train_batch_size: 16, gradient_accumulation_steps: 2,"
            " steps_per_generation: 1}\n",
            r"batch of 16 .*per_device_train_batch_size \* steps_per_generation",
        ),
        (RL + "trainer: {auto_find_batch_size: true}\n", "auto_find_batch_size: true"),
        # Whole queries in a batch, and half of one in a microbatch.
        (
            LISTWISE + "trainer: {per_device_train_batch_size: 16, gradient_accumulation_steps: 8}\n",
            "of 16 completions .* = 32.*per_device_train_batch_size to 32 .*gradient_accumulation_steps to 4",
        ),
        (
            LISTWISE + "shared_prefix: false\ntrainer: {gradient_accumulation_steps: 2}\n",
            "batch of 64 .*per_device_train_batch_size to 64 .*gradient_accumulation_steps to 1",
        ),
        (MINIMAL + "loss: {listwise: 1}\ndocuments_per_group: 1\n", "documents_per_group is 1.* 2"),
        (MINIMAL + "loss: {listwise: 1}\nmixture: {reason: 1}\n", "mixture.score or mixture.explain"),
        (RL + "rollouts: {engine: server}\n", "rollouts.*server.urls: .*engine server"),
        (RL + "rollouts: {engine: vllm, server: {urls: [http://a/v1]}}\n", "server.urls: .*engine vllm"),
        (RL + "rollouts: {importance_clip: 0.5}\n", "rollouts.importance_clip: 0.5"),
        (RL + "trainer: {use_vllm: true}\n", "trainer.use_vllm: .*`rollouts.engine`"),
        (RL + "trainer: {vllm_mode: server}\n", "trainer.vllm_mode: .*`rollouts`"),
        (RL + "trainer: {top_p: 0.9}\n", "trainer.top_p: "),
    ],
)
def test_a_fault_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe_of(tmp_path, text))


GENERATE = "stage: generate\nteacher: {model: m"
SERVED = GENERATE + ", engine: openai, server: {urls: [http://a/v1]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GENERATE + ", engine: openai}", "server.urls: .*engine openai"),
        (GENERATE + ", server: {urls: [http://a/v1]}}", "server.urls: .*engine transformers"),
        (GENERATE + ", engine: openai, server: {urls: [localhost:8000]}}", "number 1 is no address.*http://HOST"),
        (GENERATE + ", engine: openai, server: {urls: [http://a, http://a]}}", "teacher.server: urls: "),
        (GENERATE + ", engine: vlm}", "teacher.engine: 'vlm'"),
        (SERVED + ", in_flight: 0}}", "teacher.server.in_flight: 0"),
        (SERVED + ", api: completions}}", "teacher.server.api: 'completions'"),
        (SERVED + ", ulrs: []}}", "teacher.server.ulrs: .*'urls'"),
        (GENERATE + ", samples: 5}", "samples: 5 greedy .*temperature"),
        (GENERATE + ", samples: 5, temperature: 1.0}", "5 samples .*grade.* first"),
        (GENERATE + ", samples: 5, temperature: 1.0, grades: votes}", "5 samples .*votes"),
        (GENERATE + ", min_agreement: 1.5}", "teacher.min_agreement: 1.5"),
        (GENERATE + ", queries: 11}", "teacher.queries: 11"),
        (GENERATE + ", queries: 2, query_pairs: 3}", "query_pairs: 3 is more than the 2 "),
        (GENERATE + ", queries: 2, query_pairs: 2, grades: votes}", "query_pairs: .*votes"),
        (GENERATE + ", vllm: {gpu_memory: 2.0}}", "teacher.vllm.gpu_memory: 2.0"),
        (GENERATE + ", price: {read: 1.0}}", "teacher.price.written: missing"),
        (GENERATE + "}\nbudget: {dollars: 5.0}", "budget.dollars: "),
        (GENERATE + "}\nbudget: {tokens: 0}", "budget.tokens: 0"),
        (GENERATE + "}\nbudget: {dollar: 5.0}", "budget.dollar: .*'dollars'"),
        (GENERATE + "}\nmax_grade_share: 0.3", "max_grade_share: 0.3"),
        (GENERATE + "}\nbenchmarks: []", "benchmarks: "),
        (GENERATE + "}\ndumps: [a]\npairs: b", "pairs, dumps: "),
    ],
)
def test_a_fault_in_what_a_teacher_is_told_is_a_sentence(tmp_path: Path, text: str, message: str) -> None:
    assert re.search(message, faults_of(tmp_path, text))


def test_servers_are_given_on_the_command_line(tmp_path: Path) -> None:
    source = recipe_of(tmp_path, GENERATE + ", engine: openai}")
    recipe = load_recipe(source, ["teacher.server.urls=http://a/v1,http://b/v1"])
    assert isinstance(recipe, GenerateRecipe)
    assert recipe.teacher.server.urls == ("http://a/v1", "http://b/v1")


def test_a_recipe_of_another_stage_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"`interank distill`.*`interank rl`"):
        load_recipe(recipe_of(tmp_path, MINIMAL), stage="rl")


def test_a_pipelines_stages_are_reached_by_name() -> None:
    recipe = load_recipe("recipes/demo.yaml", ["generate.dumps=a,b", "evaluate.depth=5"])
    assert isinstance(recipe, RunRecipe)
    assert recipe.stages.generate.dumps == (Path("a"), Path("b"))
    assert recipe.stages.evaluate.depth == 5
    with pytest.raises(RecipeError, match=r"stages\.rl\.documents_per_qury: .*'documents_per_query'"):
        load_recipe("demo", ["rl.documents_per_qury=3"])
    with pytest.raises(RecipeError, match=r"rl\.adapter"):
        load_recipe("demo", ["rl.adapter=x"])


@pytest.mark.parametrize("task", ["[order]", "{order: 1}", "null", "ordre", "2"])
def test_a_task_that_is_none_is_told_with_those_there_are(task: str, tmp_path: Path) -> None:
    found = faults_of(tmp_path, MINIMAL, f"task={task}", "judgments=x")
    assert found.count("\n") == 0
    assert "r.yaml: task: " in found
    assert re.search("judge.*order.*head", found)
    with pytest.raises(RecipeError, match=r"stages\.rl\.task: .{1,20} found.*judge, order or group\b(?!.*head)"):
        load_recipe("demo", [f"rl.task={task}"])


def test_a_pipelines_rl_goes_on_with_its_distills_task(tmp_path: Path) -> None:
    stages = (
        "stage: run\nstages:\n  generate: {teacher: {model: x}}\n  evaluate: {}\n"
        "  rl: {rewards: [{use: well_formed}]}\n  distill: {student: x}\n"
    )
    assert load_recipe(recipe_of(tmp_path, stages)).stage == "run"
    head = faults_of(tmp_path, stages, "distill.task=head", "distill.objective=listnet")
    assert re.search(r"distill\.task: .*head.*judge, order or group", head)
    assert re.search(r"rl\.task: judge.* order", faults_of(tmp_path, stages, "distill.task=order"))


def test_a_pipeline_of_lists_marks_no_explanations_by_its_own_adapter(tmp_path: Path) -> None:
    stages = (
        "stage: run\nstages:\n  generate: {teacher: {model: x}}\n  evaluate: {explain: 1, explanations: {}}\n"
        "  distill: {task: order, student: x}\n  rl: {task: order, rewards: [{use: list_ndcg}]}\n"
    )
    assert re.search(r"evaluate\.explanations: .*order explains no single document", faults_of(tmp_path, stages))
    assert load_recipe(recipe_of(tmp_path, stages), ["evaluate.explanations.reader=runs/judge"]).stage == "run"


def test_a_key_of_an_earlier_version_is_refused_with_its_name_now(tmp_path: Path) -> None:
    renamed = "seatbelt: this key is now `collapse_detection`; rename it"
    assert renamed in faults_of(tmp_path, RL + "seatbelt: {patience: 2}\n")
    assert renamed in faults_of(tmp_path, RL, "seatbelt.enabled=false")
    assert f"stages.rl.{renamed}" in faults_of(tmp_path, PIPELINE, "rl.seatbelt.patience=2")
    assert "collapse_detection" not in faults_of(tmp_path, MINIMAL + "seatbelt: {}\n")


PIPELINE = (
    "stage: run\nstages:\n  generate: {teacher: {model: x}, explanations: {samples: 1}}\n  evaluate: {explain: 1}\n"
    "  rl: {rewards: [{use: well_formed}, REWARD]}\n  distill: {student: x}\n  reward: {student: x}\n"
)


def test_a_reward_model_takes_the_place_of_what_is_asked_without_one() -> None:
    plain, given = load_recipe("rl/smollm2"), load_recipe("rl/smollm2", ["reward_model=runs/reward"])
    assert isinstance(plain, RlJudge)
    assert isinstance(given, RlJudge)
    replaced = [entry for entry in plain.rewards if entry.use in ("stance", "support", "faithfulness")]
    kept = [entry for entry in plain.rewards if entry not in replaced]
    assert len(replaced) == 3
    assert list(given.rewards[:-1]) == kept
    asked = given.rewards[-1]
    assert (asked.use, asked.params) == ("explanation_quality", {"model": "runs/reward"})
    assert asked.weight == pytest.approx(sum(entry.weight for entry in replaced))
    # What is kept with an output is read as the same.
    again = RlJudge.model_validate(given.model_dump(mode="json"))
    assert again.rewards == given.rewards


def test_a_reward_model_without_a_place_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"reward_model: it takes the place of stance.*explanation_quality"):
        load_recipe("rl/smollm2", ["reward_model=runs/reward", "rewards=[{use: well_formed}]"])


def test_a_pipelines_reward_model_is_handed_to_who_asks_for_one(tmp_path: Path) -> None:
    asking = load_recipe(recipe_of(tmp_path, PIPELINE.replace("REWARD", "{use: explanation_quality, weight: 0.4}")))
    assert isinstance(asking, RunRecipe)
    assert asking.stages.named == ("generate", "distill", "reward", "rl", "evaluate")
    handed = with_reward_model(asking.stages.rl, Path("runs/reward")).rewards
    assert [(entry.use, entry.weight, entry.params.get("model")) for entry in handed] == [
        ("well_formed", 1.0, None),
        ("explanation_quality", 0.4, "runs/reward"),
    ]


def test_a_pipelines_reward_model_takes_the_place_of_rewards_without_one(tmp_path: Path) -> None:
    stances = "{use: stance, weight: 0.4}, {use: support, weight: 0.3}"
    without = load_recipe(recipe_of(tmp_path, PIPELINE.replace("REWARD", stances)))
    assert isinstance(without, RunRecipe)
    handed = with_reward_model(without.stages.rl, Path("runs/reward")).rewards
    assert [entry.use for entry in handed] == ["well_formed", "explanation_quality"]
    assert handed[1].params == {"model": "runs/reward"}
    assert handed[1].weight == pytest.approx(0.7)


def test_a_pipelines_reward_model_marks_where_none_is_named(tmp_path: Path) -> None:
    source = recipe_of(tmp_path, PIPELINE.replace("REWARD", "{use: explanation_quality}"))
    named = "{use: explanation_quality, params: {model: mine}}"
    marks = f"evaluate.explanations={{rewards: [{{use: stance}}, {{use: explanation_quality}}, {named}]}}"
    recipe = load_recipe(source, [marks])
    assert isinstance(recipe, RunRecipe)
    handed = with_marking_model(recipe.stages.evaluate, Path("runs/reward")).explanations
    assert handed is not None
    assert [(entry.use, entry.params.get("model")) for entry in handed.rewards] == [
        ("stance", None),
        ("explanation_quality", "runs/reward"),
        ("explanation_quality", "mine"),
    ]
    # Before there is that model, all but what waits for it is checked.
    waiting = recipe.stages.without_handed()
    assert waiting.evaluate.explanations is not None
    assert [entry.params.get("model") for entry in waiting.evaluate.explanations.rewards] == [None, "mine"]
    assert [entry.use for entry in waiting.rl.rewards] == ["well_formed"]
    alone = load_recipe(source, [marks, "reward=null"])
    assert isinstance(alone, RunRecipe)
    assert alone.stages.without_handed() is alone.stages
    unmarked = load_recipe(source)
    assert isinstance(unmarked, RunRecipe)
    assert with_marking_model(unmarked.stages.evaluate, Path("runs/reward")).explanations is None
    assert unmarked.stages.without_handed().evaluate.explanations is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("reward.student=y", r"reward\.student: y.*distill\.student, x"),
        ("reward.judgments=runs/j", r"reward\.judgments: a pipeline sets"),
        ("rl.reward_model=runs/r", r"rl\.reward_model: a pipeline sets"),
        ("generate.explanations=null", r"generate\.explanations"),
        ("rl.rewards=[{use: well_formed}]", "rl.rewards has no entry for the reward model"),
        ("rl.max_completion_tokens=257", r"max_explanation_tokens: 256 was found.*write 257.*lower the second"),
        ("reward.trainer.beta=1", "RewardConfig has no such field"),
        ("reward.margn=1", r"stages\.reward\.margn: unknown key; did you mean 'margin'"),
    ],
)
def test_a_pipelines_reward_model_that_cannot_be_is_refused(tmp_path: Path, change: str, said: str) -> None:
    source = recipe_of(tmp_path, PIPELINE.replace("REWARD", "{use: explanation_quality}, {use: stance}"))
    with pytest.raises(RecipeError, match=said):
        load_recipe(source, [change])


def test_a_pipelines_reward_model_is_of_a_base_where_distill_trains_an_adapter_of_it_further(tmp_path: Path) -> None:
    source = recipe_of(tmp_path, PIPELINE.replace("REWARD", "{use: explanation_quality}"))
    (tmp_path / "adapter").mkdir()
    recipe = load_recipe(source, [f"distill.student={tmp_path / 'adapter'}", "reward.student=y"])
    assert isinstance(recipe, RunRecipe)
    assert recipe.stages.reward
    assert recipe.stages.reward.student == "y"


def test_a_head_takes_no_instruction() -> None:
    with pytest.raises(RecipeError, match=r"prompt: task head has no such key, judge, order and group have it; leave"):
        load_recipe("distill/dear-3b-ranknet", ["prompt.instruction=judge for a lawyer"])


def test_a_stage_of_a_pipeline_that_is_no_mapping_is_told() -> None:
    with pytest.raises(RecipeError, match=r"stages\.distill: 5.*mapping"):
        load_recipe("demo", ["distill=5"])


def test_the_sample_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("demo")
    assert isinstance(recipe, RunRecipe)
    assert (recipe.stages.evaluate.benchmark or Path()).joinpath("corpus.jsonl").is_file()
    changed = load_recipe("demo", ["evaluate.benchmark=data/nowhere"])
    assert isinstance(changed, RunRecipe)
    assert changed.stages.evaluate.benchmark == Path("data/nowhere")


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    assert load_recipe(recipe_of(tmp_path, MINIMAL)).missing() == ["judgments"]
    assert load_recipe("demo").missing() == []


def test_unknown_recipes_are_told_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="'demo'"):
        find_recipe("dmeo")


@pytest.mark.parametrize("config", ["SFTConfig", "GRPOConfig"])
def test_the_fields_read_from_source_are_trls(config: str) -> None:
    import dataclasses

    import trl

    fields = {field.name for field in dataclasses.fields(getattr(trl, config)) if field.init}
    assert set(trainer_fields(config)) >= fields
    assert set(OWNED) <= set(trainer_fields("SFTConfig")) | set(trainer_fields("GRPOConfig"))


def test_trainer_values_beyond_simple_types_are_left_to_trl() -> None:
    assert trainer_faults("SFTConfig", {"lr_scheduler_kwargs": {"a": 1}, "learning_rate": 1}, "trainer") == []


@pytest.mark.parametrize(
    ("key", "meant"), [("min_document_words", "mining.min_document_words"), ("max_reasoning_tokens", "teacher.max_")]
)
def test_a_key_of_a_section_is_told_with_its_section(tmp_path: Path, key: str, meant: str) -> None:
    assert f"did you mean '{meant}" in faults_of(tmp_path, "stage: generate\n", f"{key}=0")


@pytest.mark.parametrize("key", ["fsdp", "fsdp_config", "deepspeed", "parallelism_config"])
def test_sharing_a_models_weights_out_is_refused(key: str) -> None:
    for config in ("SFTConfig", "GRPOConfig", "RewardConfig"):
        [told] = trainer_faults(config, {key: "full_shard"}, "trainer")
        assert told.startswith(
            f"trainer.{key}: cannot be set here; each of several processes has the whole base weights"
        )
