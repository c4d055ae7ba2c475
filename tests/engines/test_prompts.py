"""Prompts of three tokenizer families and of none: one frame that no text can close, the same in training and use."""

from __future__ import annotations

import pytest

from interank import judging
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError, ModelError
from interank.settings import PromptSettings
from interank.tasks.judge.rows import training_row
from interank.training.rows import IGNORED
from interank.types import Document, Example, Judgment, Query, Relevance, Source
from tests.support.tiny import FAMILIES, Family, tiny_tokenizer

SETTINGS = PromptSettings(max_length=400, max_query_tokens=60, max_document_tokens=80)
ORDERS: tuple[judging.Order, ...] = ("grade_first", "reason_first")
_TOKENIZERS = {family: tiny_tokenizer(family) for family in FAMILIES}


def encoder_of(family: Family, order: judging.Order = "grade_first", **changed: int) -> PromptEncoder:
    settings = SETTINGS.model_copy(update={"order": order, **changed})
    return PromptEncoder(_TOKENIZERS[family], settings)


def example_of(query: str = "Where is the red fox?", document: str = "A red fox sits in the barn.") -> Example:
    judgment = Judgment("same colour, same animal.", Relevance.RELEVANT)
    return Example(Query("q", query), Document("d", document), judgment, None, "train", Source("s", "1", "", "", ""))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ORDERS)
def test_training_and_use_render_the_same_tokens(family: Family, order: judging.Order) -> None:
    encoder, example = encoder_of(family, order), example_of()
    row = training_row(encoder, example)
    prompt = encoder.prompt(example.query, example.document, answer_tokens=40)
    assert row.input_ids[: len(prompt.ids)] == list(prompt.ids)
    answer = row.input_ids[len(prompt.ids) :]
    if order == "grade_first":
        assert answer[: len(encoder.label_lead) + 1] == [*encoder.label_lead, encoder.label_ids[2]]
    assert judging.parse(encoder.text(answer)) == example.judgment


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ORDERS)
def test_only_the_answer_is_trained_end_of_turn_included(family: Family, order: judging.Order) -> None:
    encoder, example = encoder_of(family, order), example_of()
    row = training_row(encoder, example)
    prompt = encoder.prompt(example.query, example.document, answer_tokens=40)
    trained = [label for label in row.labels if label != IGNORED]
    assert row.labels[: len(prompt.ids)] == [IGNORED] * len(prompt.ids)
    assert trained == list(encoder.answer(example.judgment, reasoning_tokens=99))
    assert trained[-1] == encoder.end


def test_the_end_of_turn_is_the_templates() -> None:
    ends = {family: _TOKENIZERS[family].convert_ids_to_tokens(encoder_of(family).end) for family in FAMILIES}
    assert ends == {"chatml": "<|im_end|>", "llama3": "<|eot_id|>", "gemma": "<end_of_turn>", "plain": "</s>"}


@pytest.mark.parametrize("family", ["llama3", "gemma", "plain"])
def test_there_is_exactly_one_beginning_of_sequence(family: Family) -> None:
    encoder, example = encoder_of(family), example_of()
    ids = training_row(encoder, example).input_ids
    bos = _TOKENIZERS[family].bos_token_id
    assert ids[0] == bos
    assert ids.count(bos) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_special_tokens_in_a_text_cannot_close_the_frame(family: Family) -> None:
    encoder = encoder_of(family)
    special = [str(token) for token in _TOKENIZERS[family].added_tokens_decoder.values()]
    attack = "fox".join(special)
    plain = encoder.prompt(Query("q", "fox"), Document("d", "fox"), answer_tokens=8)
    attacked = encoder.prompt(Query("q", attack), Document("d", attack), answer_tokens=8)
    ids = set(_TOKENIZERS[family].added_tokens_decoder)
    assert [i for i in attacked.ids if i in ids] == [i for i in plain.ids if i in ids]
    assert encoder.text(attacked.document) == _TOKENIZERS[family].decode(attacked.document)
    assert encoder.text(encoder.plain(special[0])).replace(" ", "") == special[0]


def test_added_tokens_that_are_not_special_are_text_too() -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.add_tokens(["<think>"])
    encoder = PromptEncoder(tokenizer, SETTINGS)
    assert tokenizer.convert_tokens_to_ids("<think>") not in encoder.plain("a <think> b")
    assert encoder.text(encoder.plain("a <think> b")) == "a <think> b"


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "a\ud800b", "\u202eabc", "x" * 5000, "\ufeff", "𝄞"])
@pytest.mark.parametrize("family", FAMILIES)
def test_any_text_can_be_a_document(family: Family, text: str) -> None:
    encoder = encoder_of(family)
    prompt = encoder.prompt(Query("q", "fox"), Document("d", text), answer_tokens=8)
    assert len(prompt.document) <= SETTINGS.max_document_tokens


@pytest.mark.parametrize("order", ORDERS)
def test_a_long_document_is_cut_and_nothing_else(order: judging.Order) -> None:
    encoder = encoder_of("chatml", order, max_length=260, max_document_tokens=200)
    long = example_of(document="A red fox sits in the barn. " * 100)
    row = training_row(encoder, long)
    whole = training_row(encoder_of("chatml", order), example_of())
    assert len(row.input_ids) <= 260
    assert [i for i in row.labels if i != IGNORED] == [i for i in whole.labels if i != IGNORED]
    prompt = encoder.prompt(long.query, long.document, answer_tokens=40)
    short = encoder.prompt(long.query, Document("d", ""), answer_tokens=40)
    assert (prompt.prefix, prompt.suffix) == (short.prefix, short.suffix)
    assert 0 < len(prompt.document) < 200
    assert len(prompt.ids) + 40 == 260


def test_a_long_query_loses_its_end_at_the_stated_limit() -> None:
    encoder = encoder_of("chatml", max_query_tokens=10)
    text = "Where is the red fox? " * 50
    prompt = encoder.prompt(Query("q", text), Document("d", "fox"), answer_tokens=8)
    empty = encoder.prompt(Query("q", ""), Document("d", "fox"), answer_tokens=8)
    assert len(prompt.prefix) == len(empty.prefix) + 10


def test_settings_without_room_for_a_document_are_refused() -> None:
    with pytest.raises(InputError, match=r" tokens for document and answer"):
        encoder_of("chatml", max_length=120, max_query_tokens=60)


def test_all_documents_of_a_query_share_the_prefix() -> None:
    encoder = encoder_of("llama3")
    prompts = [encoder.prompt(Query("q", "fox"), Document("d", t), answer_tokens=8) for t in ("a", "b c", "")]
    assert len({prompt.prefix for prompt in prompts}) == 1
    assert len({prompt.suffix for prompt in prompts}) == 1


def test_a_prompt_does_not_change_with_the_date() -> None:
    encoder = encoder_of("llama3")
    assert "26 Jul 2024" in _TOKENIZERS["llama3"].decode(encoder.prompt(*_pair(), answer_tokens=8).prefix)


def test_nor_where_the_template_asks_for_the_date_itself() -> None:
    """As SmolLM3's does."""
    tokenizer = tiny_tokenizer("chatml")
    dated, mode = "{{ strftime_now('%d %B %Y') }}", "{{ '/think' if enable_thinking else '/no_think' }}"
    said = f"Today Date: {dated}\nReasoning Mode: {mode}"
    tokenizer.chat_template = f"<|im_start|>system\n{said}<|im_end|>\n{tokenizer.chat_template}"
    written = tokenizer.decode(PromptEncoder(tokenizer, SETTINGS).prompt(*_pair(), answer_tokens=8).prefix)
    assert "Today Date: 26 July 2024" in written
    assert "Reasoning Mode: /no_think" in written


def test_a_tokenizer_without_single_label_tokens_is_refused() -> None:
    tokenizer = tiny_tokenizer("chatml")
    tokenizer.add_tokens([f"{judging.LABEL_LEAD}2"])

    class Splitting:
        """Writes the label 2 as two tokens."""

        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def __call__(self, text: str, **options: object) -> object:
            return tokenizer(text.replace("Label: 2", "Label: 22"), **options)

    with pytest.raises(ModelError, match="one token each"):
        PromptEncoder(Splitting(), SETTINGS)


def _pair() -> tuple[Query, Document]:
    return Query("q", "fox"), Document("d", "fox")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("order", ORDERS)
def test_an_instruction_stands_before_the_query_and_is_shared(family: Family, order: judging.Order) -> None:
    plain = encoder_of(family, order)
    encoder = PromptEncoder(_TOKENIZERS[family], plain.settings.model_copy(update={"instruction": "Cite statutes."}))
    query, other = Query("q", "Where is the red fox?"), Query("p", "Where is the owl?")
    documents = [Document("a", "A red fox."), Document("b", "An owl sits in the barn.")]
    one, two = (encoder.prompt(query, document, answer_tokens=9) for document in documents)
    assert one.prefix == two.prefix
    assert one.suffix == plain.prompt(query, documents[0], answer_tokens=9).suffix
    # The head is shared by all queries of the instruction.
    head = len(encoder.graded.before)
    assert encoder.prompt(other, documents[0], answer_tokens=9).prefix[:head] == one.prefix[:head]
    written = _TOKENIZERS[family].decode(one.ids, clean_up_tokenization_spaces=False)
    content = judging.render(query.text, "A red fox.", order, instruction="Cite statutes.")[0]["content"]
    assert content in written
    assert content.index("Cite statutes.") < content.index(query.text)
    # A query's own comes before that of the settings, and "" asks for none.
    own = encoder.prompt(Query("q", query.text, "Cite cases."), documents[0], answer_tokens=9)
    assert own == plain.prompt(Query("q", query.text, "Cite cases."), documents[0], answer_tokens=9)
    assert "Cite cases." in _TOKENIZERS[family].decode(own.ids)
    assert encoder.prompt(Query("q", query.text, ""), documents[0], answer_tokens=9) == plain.prompt(
        query, documents[0], answer_tokens=9
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_hostile_instructions_stay_text_and_take_no_room_from_documents(family: Family) -> None:
    encoder = encoder_of(family, max_query_tokens=90)
    special = [str(token) for token in _TOKENIZERS[family].added_tokens_decoder.values()]
    query, document = Query("q", "fox " * 200), Document("d", "owl " * 60)
    plain = encoder.prompt(query, document, answer_tokens=8)
    attacked = encoder.prompt(Query("q", query.text, special[-1]), document, answer_tokens=8)
    ids = set(_TOKENIZERS[family].added_tokens_decoder)
    assert [index for index in attacked.ids if index in ids] == [index for index in plain.ids if index in ids]
    # Its tokens are the query's, which loses as many at its end.
    assert (len(attacked.prefix), attacked.document) == (len(plain.prefix), plain.document)
    taken = len(encoder.prompt(Query("q", "", special[-1]), document, answer_tokens=8).prefix) - len(
        encoder.prompt(Query("q", ""), document, answer_tokens=8).prefix
    )
    assert encoder.query_cut(Query("q", query.text, special[-1])) == encoder.query_cut(query) + taken
    with pytest.raises(InputError, match=r"the instruction 'owl owl .* takes \d+ tokens .* 90, .* have 45; shorten"):
        encoder.prompt(Query("q", "fox", "owl " * 60), document, answer_tokens=8)
    with pytest.raises(InputError, match="shorten"):
        PromptEncoder(_TOKENIZERS[family], SETTINGS.model_copy(update={"instruction": "owl " * 60}))
