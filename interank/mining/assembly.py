"""Pairs of the questions that were drawn: their documents chosen, checked for contamination, and read."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from interank.errors import InputError
from interank.ir.bm25 import Bm25, first_stage_of
from interank.ir.overlap import near_duplicates
from interank.mining.choosing import Choice, Desk, Question
from interank.mining.database import Database, DrawnQuestion, QuestionWithAnswers
from interank.mining.documents import Chosen, Shelf
from interank.mining.items import ContaminationCheck, Item
from interank.mining.pages import links_to_pages, passages, read_pages
from interank.mining.post_values import PostValues
from interank.mining.sites import Origin
from interank.settings import MiningRecipe
from interank.types import Document, Language, Pair, Query, Source, Split

_NUMBER = re.compile("-?[0-9]{1,20}")

Documents = dict[DrawnQuestion, list[Chosen]]
"""The documents of each question, ascending by site and post."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes pairs of all sites' drawn questions."""

    folder: Path
    origins: Sequence[Origin]
    numbers: Mapping[str, int]
    """The sites' numbers by their names, in the order of the origins."""
    settings: MiningRecipe
    seed: int
    texts: PostValues
    """Of questions and of documents, as they are paired."""
    pages: dict[str, tuple[Document, Source]] = field(default_factory=dict)
    """The passages that were chosen."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites' names by their numbers."""
        return tuple(self.numbers)

    def chosen(
        self, database: Database, drawn: Collection[DrawnQuestion], contaminated: ContaminationCheck | None
    ) -> Documents:
        """Choose the documents of the drawn questions; none of a question without a negative."""
        if not drawn:
            return {}
        database.link()
        posts = PostValues(self.folder / "posts.sqlite")
        database.keep_texts(posts)
        posts.close()
        database.give_back()
        documents: Documents = {}
        for number, site in enumerate(self.sites):
            if asked := database.asked(number):
                desk = Desk(self.folder, self.sites, number, self.settings, self.seed)
                desk.make_index(database.pool(number))
                found = self._of_site(desk, asked, contaminated)
                documents |= {DrawnQuestion(site, post_id): found[post_id] for post_id in found}
        return documents

    def _of_site(
        self, desk: Desk, asked: Sequence[QuestionWithAnswers], contaminated: ContaminationCheck | None
    ) -> dict[int, list[Chosen]]:
        """Choose documents; replace those that are contaminated until none is."""
        questions = self._with_pages(desk, asked)
        documents = self._taken(desk, desk.choose(questions, frozenset()))
        seen: set[str] = set()
        barred: frozenset[str] = frozenset()
        while unseen := {doc_id: None for chosen in documents.values() for _, doc_id in chosen if doc_id not in seen}:
            seen.update(unseen)
            self._keep_texts(desk, [doc_id for doc_id in unseen if doc_id not in self.pages])
            if contaminated is None:
                break
            named = {self._name(doc_id): doc_id for doc_id in unseen}
            shelf = desk.shelf()
            items = (self._item(shelf, name, doc_id) for name, doc_id in named.items())
            found = frozenset(named[name] for name in contaminated(items))
            barred |= found
            again = [
                question
                for question in questions
                if any(doc_id in found for _, doc_id in documents[question.asked.post_id])
            ]
            documents |= self._taken(desk, desk.choose(again, barred))
        return documents

    def _taken(self, desk: Desk, choices: Iterable[Choice]) -> dict[int, list[Chosen]]:
        """Keep the questions' texts as they come; their documents."""
        documents: dict[int, list[Chosen]] = {}

        def texts() -> Iterator[tuple[int, int, str]]:
            for choice in choices:
                documents[choice.post_id] = choice.documents
                yield desk.site, choice.post_id, choice.text

        self.texts.add(texts())
        return documents

    def _keep_texts(self, desk: Desk, doc_ids: Sequence[str]) -> None:
        places = map(self._place, doc_ids)
        self.texts.add((*place, text) for place, text in zip(places, desk.texts(doc_ids), strict=True))

    def _place(self, doc_id: str) -> tuple[int, int]:
        site, _, number = doc_id.rpartition("/")
        return self.numbers[site], int(number)

    def _with_pages(self, desk: Desk, asked: Sequence[QuestionWithAnswers]) -> list[Question]:
        """Add the passages of pages that a question's answers link to, those that share most with it first."""
        if self.settings.pages is None:
            return [Question(one) for one in asked]
        shelf = desk.shelf()
        linked: list[list[str]] = []
        for one in asked:
            posts = (shelf.post(desk.doc_id(answer)) for answer in one.own)
            urls = (url for post in posts if post for url in links_to_pages(post.html))
            linked.append(list(dict.fromkeys(urls)))
        found = read_pages(self.settings.pages, {address for urls in linked for address in urls})
        questions = []
        for one, addresses in zip(asked, linked, strict=True):
            here = [found[address] for address in addresses if address in found]
            cut = {
                document.doc_id: (document, source)
                for page in here
                for document, source in passages(page, self.settings.passage_words)
            }
            self.pages.update(cut)
            if cut:
                [choice] = desk.choose([Question(one)], frozenset())
                best = _best_first(
                    [document for document, _ in cut.values()], Query("", choice.text), self.settings.language
                )
                questions.append(Question(one, [cut[doc_id] for doc_id in best]))
            else:
                questions.append(Question(one))
        return questions

    def _item(self, shelf: Shelf, name: str, doc_id: str) -> Item:
        if doc_id in self.pages:
            document, source = self.pages[doc_id]
            return Item(name, "document", source.site, source.post_id, "", source.url, document.full_text)
        source, post = shelf.source(doc_id), shelf.post(doc_id)
        assert post is not None
        names = self.origins[self.numbers[post.site]].names
        thread = "" if post.thread is None else names.get(post.thread, str(post.thread))
        post_id = names.get(post.post_id, source.post_id)
        text = self.texts.get(*self._place(doc_id))
        return Item(name, "document", source.site, post_id, thread, source.url, text)

    def repeats(self, drawn: Sequence[DrawnQuestion], documents: Documents) -> frozenset[DrawnQuestion]:
        """The questions that are near-duplicates of one drawn before them, on whatever site."""
        paired = [one for one in drawn if documents.get(one)]
        firsts = near_duplicates(_Texts(self._question_text, paired))
        return frozenset(paired[place] for place, first in enumerate(firsts) if first != place)

    def _question_text(self, one: DrawnQuestion) -> str:
        text: str = self.texts.get(self.numbers[one.site], one.post_id)
        return text

    def pairs(self, documents: Documents, splits: Mapping[DrawnQuestion, Split]) -> Iterator[Pair]:
        """The pairs of the questions that have a split, in order."""
        named = any(origin.names for origin in self.origins)
        posts = PostValues(self.folder / "posts.sqlite")
        shelf = Shelf(posts, self.sites)
        try:
            for one, chosen in documents.items():
                if one not in splits:
                    continue
                query = Query(one.query_id, self._question_text(one))
                for origin, doc_id in chosen:
                    if doc_id in self.pages:
                        document, source = self.pages[doc_id]
                    else:
                        document = Document(doc_id, self.texts.get(*self._place(doc_id)))
                        source = shelf.source(doc_id)
                    pair = Pair(query, document, splits[one], origin, source)
                    yield self._with_names(pair) if named else pair
        finally:
            posts.close()

    def _name(self, item_id: str) -> str:
        """A query's or document's id with the post's own name in place of the number that stands for it."""
        site, _, number = item_id.rpartition("/")
        names = self.origins[self.numbers[site]].names if site in self.numbers else {}
        known = names and _NUMBER.fullmatch(number) and int(number) in names
        return f"{site}/{names[int(number)]}" if known else item_id

    def _with_names(self, pair: Pair) -> Pair:
        query_id, doc_id = self._name(pair.query.query_id), self._name(pair.document.doc_id)
        post = f"{pair.source.site}/{pair.source.post_id}"
        source = replace(pair.source, post_id=self._name(post).removeprefix(f"{pair.source.site}/"))
        query, document = replace(pair.query, query_id=query_id), replace(pair.document, doc_id=doc_id)
        return replace(pair, query=query, document=document, source=source)


class _Texts(Sequence[str]):
    """The texts of questions, each read when it is asked for."""

    def __init__(self, read: Callable[[DrawnQuestion], str], questions: Sequence[DrawnQuestion]) -> None:
        self._read = read
        self._questions = questions

    def __len__(self) -> int:
        return len(self._questions)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]
        return self._read(self._questions[place])


def _best_first(documents: Sequence[Document], query: Query, language: Language | None) -> list[str]:
    in_order = [document.doc_id for document in documents]
    try:
        ranked = Bm25(documents, first_stage_of(language)).rank([query], top_k=len(documents)).doc_ids(query.query_id)
    except InputError:
        # Passages in a script without a letter a-z keep their order.
        ranked = []
    return list(dict.fromkeys([*ranked, *in_order]))
