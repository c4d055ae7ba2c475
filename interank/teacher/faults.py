"""Made faults: explanations with a known fault, made deterministically from honest ones and the judged texts."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from interank.explanations import Fault
from interank.tasks.judge.quotes import quotes, verified
from interank.teacher import fault_wordings as wordings
from interank.types import Example, Relevance

_WORD = re.compile(r"[^\W\d_][\w'\u2019-]*")
# The least length of a word that distinguishes a text from others.
_TELLING = 3
_EVERYWHERE_WORDS = """
all and any are ask but can did for get had has her him his how its may nor not now off one our out own per say she
the too two use was way who why yes yet you about above after again also although another answer answers because
been before being below between both cannot could does doesn document during each even every explain explains
explanation from further given gives grade have having help helps here however into irrelevant just like mention
mentions more most much need needed only other over part partial partially passage provide provides question
relevant same says should since some such tell tells text than that their them then there these they thing this
those through under very was well were what when where which while will with within without would your
"""
_EVERYWHERE = frozenset(_EVERYWHERE_WORDS.split())
_QUOTE_WORDS = (4, 9)
_PASSAGE_WORDS = (25, 60)
_SPOKEN_OF = (1, 3)
# Padding makes an explanation this many times as long.
_PADDED = 2.5
# The number of other explanations searched for one that names something foreign to the pair.
_TRIES = 20

_BE = r"is|are|was|were|can|could|will|would|should|must|has|have|had|does|do|did"
_VERB_LIST = """
address answer ask compare contain cover describe discuss explain give help list match mention name need offer
provide recommend relate resolve say settle show solve suggest tell talk
"""
_VERBS = _VERB_LIST.split()
_ONE = {f"{verb}{'es' if verb.endswith(('ss', 'ch', 'sh')) else 's'}": verb for verb in _VERBS}
_DENIED = re.compile(rf"\b(?:({_BE})(?: not|n['\u2019]t)|(c)an(?:not|['\u2019]t)|(w)on['\u2019]t)\b", re.IGNORECASE)
_AFFIRMED = re.compile(rf"\b({_BE})\b(?! not|['\u2019])", re.IGNORECASE)
# After these words `answers` or `needs` is a noun.
_BEFORE_NOUNS = "the a an its their of no any these those some all other"
_OF_NOUNS = "".join(rf"(?<!\b{word} )" for word in _BEFORE_NOUNS.split())
_STATED = re.compile(rf"{_OF_NOUNS}\b({'|'.join(_ONE)})\b", re.IGNORECASE)
_SAME = re.compile(r"\b(same|other)\b")
_NUMBER = re.compile(r"\b\d+(?:\.\d+)?\b")


def telling_words(text: str) -> set[str]:
    """The words that distinguish texts, in lower case: neither short nor common in all texts."""
    words = (word.casefold() for word in _WORD.findall(text))
    return {word for word in words if len(word) >= _TELLING and word not in _EVERYWHERE}


@dataclass(frozen=True, slots=True)
class _Pair:
    """A pair with its honest explanation, of which a fault is made, and the fault's random numbers."""

    example: Example
    rng: Random

    @property
    def honest(self) -> str:
        return self.example.judgment.reasoning

    @property
    def document(self) -> str:
        return self.example.document.full_text

    @property
    def query(self) -> str:
        return self.example.query.text

    @property
    def grade(self) -> int:
        return int(self.example.judgment.relevance)

    def shown(self) -> set[str]:
        """The telling words of question and document, which an explanation of the pair may use."""
        return telling_words(self.query) | telling_words(self.document)


class Faults:
    """Makes each kind of fault of an explained pair, with the texts of all pairs."""

    def __init__(self, examples: Sequence[Example], seed: int) -> None:
        """Take the judgments; those without an explanation are not used."""
        self._seed = seed
        self._examples = [example for example in examples if example.judgment.reasoning.strip()]
        self._by_grade: dict[Relevance, list[Example]] = defaultdict(list)
        self._by_question: dict[str, list[Example]] = defaultdict(list)
        for example in self._examples:
            self._by_grade[example.judgment.relevance].append(example)
            self._by_question[example.query.query_id].append(example)
        self._makers: dict[Fault, Callable[[_Pair], str | None]] = {
            "other_document": self._other_document,
            "opposite_stance": _opposite_stance,
            "template": _template,
            "invented_quote": self._invented_quote,
            "pasted": _pasted,
            "idle_quote": _idle_quote,
            "padding": _padding,
            "to_the_judge": _to_the_judge,
            "minimal_edit": self._minimal_edit,
        }

    def made(self, kind: Fault, example: Example) -> str | None:
        """An explanation of the pair with this fault; None where the texts allow none.

        It depends on the seed, the kind, the pair's texts and the judgments given to the constructor alone.
        """
        content = "\0".join(
            [str(self._seed), kind, example.query.text, example.document.full_text, example.judgment.reasoning]
        )
        rng = Random(hashlib.sha256(content.encode("utf-8", "replace")).hexdigest())
        text = self._makers[kind](_Pair(example, rng))
        if text is None or _plain(text) == _plain(example.judgment.reasoning):
            return None
        return text.strip() or None

    def _other_document(self, pair: _Pair) -> str | None:
        """The explanation of another document, of the same grade and question if there is one.

        It has to name something that neither text of the pair holds, or it might be true of this pair as well.
        """
        relevance = pair.example.judgment.relevance
        beside = self._by_question[pair.example.query.query_id]
        pools = ([item for item in beside if item.judgment.relevance == relevance], self._by_grade[relevance], beside)
        shown = pair.shown()
        for pool in pools:
            others = [item for item in pool if item.document.doc_id != pair.example.document.doc_id]
            for other in pair.rng.sample(others, min(_TRIES, len(others))):
                text = other.judgment.reasoning
                if text != pair.honest and telling_words(text) - shown:
                    return text
        return None

    def _invented_quote(self, pair: _Pair) -> str | None:
        """A quote of another document, in place of a true quote or after the first sentence."""
        for other in pair.rng.sample(self._examples, min(_TRIES, len(self._examples))):
            quote = _fragment(other.document.full_text, pair.rng)
            if quote is None or _holds(pair.document, quote) or _holds(pair.query, quote):
                continue
            for honest in quotes(pair.honest):
                if verified(f'"{honest}"', pair.document).found:
                    return str(pair.honest.replace(honest, quote))
            sentence = wordings.worded(wordings.QUOTED[pair.grade], pair.rng).format(quote=quote)
            return sentence if pair.rng.random() < 0.5 else f"{_first_sentence(pair.honest)} {sentence}"
        return None

    def _minimal_edit(self, pair: _Pair) -> str | None:
        """The honest text with one word swapped for a foreign one, or one statement negated."""
        edits = [self._swapped, _turned]
        pair.rng.shuffle(edits)
        return next((text for edit in edits if (text := edit(pair)) is not None), None)

    def _swapped(self, pair: _Pair) -> str | None:
        """The honest text with another number, or another word in place of one of question or document."""
        numbers = sorted(set(_NUMBER.findall(pair.honest)))
        if numbers and pair.rng.random() < 0.5:
            number = pair.rng.choice(numbers)
            other = str(int(float(number)) + pair.rng.choice((1, 2, 3, 7, 10, 30)))
            return re.sub(rf"\b{re.escape(number)}\b", other, pair.honest)
        shown = pair.shown()
        names = sorted({word for word in _WORD.findall(pair.honest) if word.casefold() in shown})
        if not names:
            return None
        name = pair.rng.choice(names)
        foreign = self._foreign(pair, shown, like=name)
        return None if foreign is None else re.sub(rf"\b{re.escape(name)}\b", lambda _: foreign, pair.honest)

    def _foreign(self, pair: _Pair, shown: set[str], like: str) -> str | None:
        """A word of another explanation that the pair's texts do not hold, capitalised as `like` is."""
        large = like[0].isupper()
        for other in pair.rng.sample(self._examples, min(_TRIES, len(self._examples))):
            holds = telling_words(other.query.text) | telling_words(other.document.full_text)
            words: set[str] = {
                word for word in _WORD.findall(other.judgment.reasoning) if word.casefold() in holds - shown
            }
            alike = sorted(word for word in words if word[0].isupper() == large) or sorted(words)
            if alike:
                word = pair.rng.choice(alike)
                return word[0].upper() + word[1:] if large else word
        return None


def _opposite_stance(pair: _Pair) -> str | None:
    """An argument for the opposite grade (for a partial document 0 or 2), with words of question and document."""
    other = pair.rng.choice((0, 2)) if pair.grade == Relevance.PARTIAL else 2 - pair.grade
    asked, told = _words_of(pair.query, pair.rng), _words_of(pair.document, pair.rng)
    if not asked or not told:
        return None
    text = wordings.worded(wordings.STANCES[other], pair.rng)
    return text.format(subject=wordings.subject(pair.rng), asked=asked, told=told)


def _template(pair: _Pair) -> str:
    """A sentence that fits any pair of this grade."""
    return wordings.worded(wordings.TEMPLATES[pair.grade], pair.rng)


def _pasted(pair: _Pair) -> str | None:
    """A passage of the document and nothing else."""
    words = pair.document.split()
    if len(words) < _QUOTE_WORDS[0]:
        return None
    length = min(len(words), pair.rng.randint(*_PASSAGE_WORDS))
    start = pair.rng.randint(0, len(words) - length)
    return " ".join(words[start : start + length])


def _idle_quote(pair: _Pair) -> str | None:
    """A true quote that shares no telling word with the question or with the honest explanation."""
    needed = telling_words(pair.query) | telling_words(pair.honest)
    fragments = (_fragment(pair.document, pair.rng) for _ in range(_TRIES))
    idle = [each for each in fragments if each and not telling_words(each) & needed]
    if not idle:
        return None
    return wordings.worded(wordings.QUOTED[pair.grade], pair.rng).format(quote=pair.rng.choice(idle))


def _padding(pair: _Pair) -> str:
    """The honest explanation followed by sentences that say nothing."""
    text = pair.honest
    while len(text.split()) < _PADDED * len(pair.honest.split()):
        text = f"{text} {wordings.worded(wordings.FILLERS, pair.rng)}"
    return text


def _to_the_judge(pair: _Pair) -> str:
    """An instruction to the judge before or after an explanation that says little."""
    plea = wordings.worded(wordings.TO_THE_JUDGE, pair.rng)
    plea = plea[0].upper() + plea[1:]
    text = _template(pair) if pair.rng.random() < 0.5 else _first_sentence(pair.honest)
    return f"{plea} {text}" if pair.rng.random() < 0.3 else f"{text} {plea}"


def _turned(pair: _Pair) -> str | None:
    """The honest text with one statement negated, or one negation removed."""
    text = pair.honest
    if denied := _DENIED.search(text):
        affirmed = denied[1] or (f"{denied[2]}an" if denied[2] else f"{denied[3]}ill")
        return f"{text[: denied.start()]}{affirmed}{text[denied.end() :]}"
    places = [*_AFFIRMED.finditer(text), *_STATED.finditer(text), *_SAME.finditer(text)]
    if not places:
        return None
    place = pair.rng.choice(places)
    word = place[0].casefold()
    if word in ("same", "other"):
        instead = "other" if word == "same" else "same"
    else:
        instead = f"does not {_ONE[word]}" if word in _ONE else f"{place[0]} not"
    return f"{text[: place.start()]}{instead}{text[place.end() :]}"


def _fragment(text: str, rng: Random) -> str | None:
    """A few consecutive words, at random; None where the text has too few."""
    words = text.replace('"', "").split()
    length = rng.randint(*_QUOTE_WORDS)
    if len(words) < _QUOTE_WORDS[0]:
        return None
    length = min(length, len(words))
    start = rng.randint(0, len(words) - length)
    return " ".join(words[start : start + length]).strip(" .,;:!?()[]") or None


def _words_of(text: str, rng: Random) -> str:
    """Up to three consecutive words that distinguish the text, as it spells them; empty where it has none."""
    runs: list[list[str]] = [[]]
    for word in text.split():
        bare = word.strip(".,;:!?()[]\"'")
        if len(bare) >= _TELLING and bare.isalpha() and bare.casefold() not in _EVERYWHERE:
            runs[-1].append(bare)
        elif runs[-1]:
            runs.append([])
    phrases = [run[: rng.randint(*_SPOKEN_OF)] for run in runs if run]
    return " ".join(rng.choice(phrases)) if phrases else ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]


def _holds(text: str, quote: str) -> bool:
    return bool(verified(f'"{quote}"', text).found)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
