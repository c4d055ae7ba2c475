"""What several test files make use of, by what it is for; each module's first line says what it makes.

Texts and rules:
    rule: a relevance rule over tiny texts that needs both query and document
    attack_world: a small world of plants with honest explanations, attacks on rewards, and its exact reader
    attack_totals: what explanations of that world earn under a recipe's rewards
    list_rule: a rule over lists: of several documents, the one that names the fox helps
    splits: a benchmark folder of two splits with one corpus, and rankings on it
    dumps: a dump's posts, read by a plain XML parser to be held against ours
    layouts: small benchmarks in every layout, whole, to be broken by tests
    faulty: what servers answer that must never be used, and what is said of it
    query_measures: what the reward `ranking` is the gradient of, said anew

Models:
    tiny: tiny models of Llama's architecture with trained tokenizers
    tiny_heads: tiny pointwise heads, adapters, and stand-ins for released ones
    explaining: a program that plays teacher of explanations over the texts of `rule`
    families: tiny random models of the families that people bring
    peft_kinds: PEFT's kinds and variants of adapters, with random weights
    rule_model: a tiny base model that has read the rule's texts, but grades at random
    proofreading: a tiny base that can proofread as well, for reward models
    attack_reader: a tiny model that has learned to read the texts of `attack_world`
    list_model: a tiny base model that finds an animal in a list, but ranks at random
    group_model: a tiny base model that names each document's animal, but grades windows at random
    stand_ins: tiny models under the names of released ones, for documents
    oracle: an engine that answers prompts of lists as an exact or a clumsy model would
    rankers: what stands behind a reranker, for tests that ask it more than a ranking

Artifacts and folders:
    artifacts: judgments artifacts made of examples
    marked_explanations: explanations of the rule's texts with the program's marks, and a recipe that learns them
    reward_models: a reward model on a tiny base whose scores differ
    adapter_server: a server that samples from a tiny model by the adapters that it is handed
    adapters: an adapter artifact on a tiny model, as `distill` makes it
    benchmark: a small benchmark folder in BEIR's layout
    recorded_evaluation: a recorded evaluation whose texts try to be more than text

Training:
    training_data: groups of rows for a student, and trainers on the tiny model
    head_training_data: groups of documents for heads, in ids, and heads to train on them
    grpo_training: GRPO on rewards alone: no validation, collapse detection, credit; and what rollouts ask of a trainer
    stored_completions: GRPO trainers with stored completions: the same rows for each
    paper: training and scoring on tensors without memory: bytes and operations counted
    paper_engine: scoring, writing and trials on paper, by what a device of some size has left
    paper_steps: one step of a recipe's training on paper, through the stages' functions

Processes, servers, failures:
    commands: stages as processes of their own, and where they leave what is unfinished
    preloaded: `interank` and `python` on a shell's path, whose commands are forks that have what they import
    serve_process: `interank serve` as a process of its own
    servers: real `vllm serve` processes, and vLLM in this process
    forked_vllm: a process that has imported vLLM, whose forks they are
    vllm_command: vLLM's command, also where its build for CPUs is installed
    hub: a hub on this machine, to push to and to open models of
    distributed_commands: commands in several processes, as torchrun starts them
    writes: what a process makes, changes, renames or removes below some folders
    stub: a real HTTP server in the manner of OpenAI's, whose replies a function gives
    browser: a headless Chromium, where there is one
    answering: a server for the page of `interank serve`, which answers what a test gives it
    kills: a kill at the n-th change of a disk, in this process
    workers: which tests keep together where several processes share them, and what one makes for all
"""
