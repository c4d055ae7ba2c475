"""A teacher's orders of a query's judged documents, kept where they agree with the judgments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interank.engines.prompts import check_instruction
from interank.engines.protocol import CHARACTERS_PER_TOKEN, Message, Reply, Request, Sampling
from interank.ir.measures import DEFAULT_MEASURE
from interank.judgments import JudgedList
from interank.settings import OrderingsRecipe
from interank.tasks.judged_lists import order_values
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.values import is_whole
from interank.tasks.window_prompts import even_shares
from interank.teacher.annotate import Annotator, Rejection, cut
from interank.teacher.leaks import leak
from interank.wording import counted

# The tokens of a ranking per document, where no tokenizer counts them: ` > [12]` has five in most tokenizers.
_RANKING_TOKENS = 6


@dataclass(frozen=True, slots=True)
class OrderedList:
    """A list in the teacher's order, and that order's nDCG by the judgments."""

    example: ListExample
    ndcg: float


ListOutcome = OrderedList | Rejection | None
"""None where the budget ended before the teacher's reply."""


def order_lists(annotator: Annotator, lists: Sequence[JudgedList], settings: OrderingsRecipe) -> list[ListOutcome]:
    """Ask for an order of each list's documents; the outcomes in the order of the lists."""
    encoder = ListEncoder(annotator.encoder, settings.prompt) if annotator.encoder else None
    requests = [_request(encoder, item, settings, annotator.seed) for item in lists]
    outcomes: list[ListOutcome] = []
    for item, reply in zip(lists, annotator.asker.replies(requests), strict=True):
        if not isinstance(reply, Reply):
            outcomes.append(Rejection(reply.reason, "") if reply else None)
            continue
        text = reply.text if encoder is None else encoder.encoder.text(reply.ids)
        outcomes.append(_checked(item, text, settings))
    return outcomes


def _request(encoder: ListEncoder | None, item: JudgedList, settings: OrderingsRecipe, seed: int) -> Request:
    size, reasoning = len(item.documents), settings.max_reasoning_tokens
    if encoder is None:
        room = reasoning + _RANKING_TOKENS * size
        return Request(_messages(item, settings, room), Sampling(room, settings.temperature, seed))
    prompt = encoder.prompt(item.query, item.documents, reasoning_tokens=reasoning).prompt
    sampling = Sampling(encoder.answer_tokens(size, reasoning), settings.temperature, seed)
    return Request(prompt, sampling, encoder.end)


def _messages(item: JudgedList, settings: OrderingsRecipe, answer_tokens: int) -> tuple[Message, ...]:
    """The messages for servers that take no token ids; tokens are estimated from characters."""
    prompt = settings.prompt
    query, instruction = cut(item.query.text, prompt.max_query_tokens), prompt.instruction_of(item.query)
    check_instruction(instruction, len(instruction) // CHARACTERS_PER_TOKEN, prompt.max_query_tokens)
    frame = ordering.render(query, [""] * len(item.documents), prompt.form, instruction)
    taken = sum(len(message["content"]) for message in frame) + answer_tokens * CHARACTERS_PER_TOKEN
    texts = [cut(document.full_text, prompt.max_document_tokens) for document in item.documents]
    shares = even_shares([len(text) for text in texts], max(0, prompt.max_length * CHARACTERS_PER_TOKEN - taken))
    shown = [text[:share] for text, share in zip(texts, shares, strict=True)]
    messages = ordering.render(query, shown, prompt.form, instruction)
    return tuple((message["role"], message["content"]) for message in messages)


def _checked(item: JudgedList, text: str, settings: OrderingsRecipe) -> OrderedList | Rejection:
    """The order; rejected where it cannot be read, lacks documents or reasoning, or contradicts the judgments."""
    answer = ordering.parse(text, len(item.documents))
    if answer is None:
        return Rejection("no ranking could be read from the reply", text)
    if not is_whole(answer):
        return Rejection(f"the ranking does not name each of {counted(len(item.documents), 'document')} once", text)
    if not answer.reasoning:
        return Rejection("there is no reasoning before the ranking", text)
    seen = "\n".join([item.query.text, *(document.full_text for document in item.documents)])
    leaked = leak(answer.reasoning, seen)
    if leaked:
        return Rejection(f"the reasoning tells where a document came from ({leaked!r})", text)
    (ndcg,) = order_values([answer.positions], [item.grades], DEFAULT_MEASURE)
    if ndcg < settings.min_ndcg:
        reason = f"its {DEFAULT_MEASURE} by the judgments is {ndcg:.2f}, less than min_ndcg: {settings.min_ndcg:g}"
        return Rejection(reason, text)
    kept = Ordering(answer.positions, answer.reasoning)
    return OrderedList(ListExample(item.query, item.documents, kept, item.split), ndcg)
