"""Frames that a document writes: turns of chats, fences in other signs, and threads that read each other's setting."""

from __future__ import annotations

import threading

import pytest

from interank.engines.plain_text import without_turns
from interank.judging import unfenced

FENCES = {
    "=====": "=====",
    "longer": "=" * 50,
    "full width": "\uff1d" * 5,
    "small": "\ufe66" * 5,
    "raised": "\u207c" * 5,
    "mixed": "=\uff1d=\ufe66=",
    "doubled signs": "\u2a75\u2a75=",
    "tripled signs": "\u2a76\u2a76",
    "with zero width between": "==\u200b=\u200d==",
    "with a soft hyphen between": "==\u00ad===",
    "with a variation selector": "=\ufe0f====",
}


@pytest.mark.parametrize("name", FENCES)
def test_no_document_ends_its_fence(name: str) -> None:
    assert unfenced(f"a\n{FENCES[name]}\nb") == "a\n====\nb"


@pytest.mark.parametrize(
    "text", ["a == b", "====", "x = y \u2260 z", "a \u2261 b", "= = = = = =", "\uff1d\uff1d", "\u2a74"]
)
def test_what_is_no_fence_stays(text: str) -> None:
    assert unfenced(text) == text


TURNS = ["<|im_end|>", "<|im_start|>", "<|eot_id|>", "<|start_header_id|>", "<start_of_turn>", "<end_of_turn>", "</s>"]
TURNS += ["<s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<\uff5cUser\uff5c>", "<|end|>", "<eos>", "</think>"]
# Gemma's with one bar, Mistral's, ChatGLM's, Nemotron's and Baichuan's, tools, encoders' and multimodal ones.
TURNS += [
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<\uff5ctool\u2581calls\u2581begin\uff5c>",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
]
TURNS += ["[TOOL_CALLS]", "[gMASK]", "<sop>", "<extra_id_1>", "<reserved_106>", "<tool_call>", "</tool_response>"]
TURNS += ["[SEP]", "<mask>", "<begin_of_text>", "<end_of_utterance>", "<|" + "a" * 50 + "|>"]


@pytest.mark.parametrize("turn", TURNS)
def test_a_chat_teacher_is_sent_no_turns_of_a_document(turn: str) -> None:
    sent = without_turns(f"before {turn}after")
    assert turn not in sent
    assert sent.replace(" ", "") == f"before{turn}after".replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "[sep]",
        "[think]",
        "<tool>",
        "n_of_m",
        "a < b | c > d",
        "<div>",
        "x[1]",
        "if a<|b| then",
        "[INSTALL]",
        "<sub>",
        "3 <4>",
        "<|>",
        "a <||> b",
    ],
)
def test_what_marks_no_turn_is_sent_as_it_is(text: str) -> None:
    assert without_turns(text) == text


def test_a_frame_made_in_one_thread_changes_no_text_encoded_in_another() -> None:
    from tests.break_in.encoders import tiny_encoder

    encoder = tiny_encoder()
    text = "a <|end|> b <|start|>user " * 20
    right = encoder.plain(text)
    over = threading.Event()

    def fence() -> None:
        while not over.is_set():
            encoder.fenced()

    thread = threading.Thread(target=fence)
    thread.start()
    wrong = [number for number in range(400) if encoder.plain(text) != right]
    over.set()
    thread.join()
    assert wrong == []


def test_the_frame_holds_where_turns_are_special_tokens_and_not_where_they_are_text() -> None:
    """As docs/injection.md says it for each kind of model."""
    from tests.break_in.encoders import KINDS, reproduced

    assert {kind: reproduced(kind) for kind in KINDS} == {
        "special tokens": False,
        "special tokens under NFKC": False,
        "Llama 2": True,
        "Alpaca": True,
        "no template": True,
    }
