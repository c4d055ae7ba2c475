"""Pairs of the drawn questions: it chooses their documents, checks them for contamination, and reads the texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from interank.errors import InputError
from interank.ir.bm25 import Bm25, first_stage_of
from interank.ir.overlap import near_duplicates
from interank.mining.choosing import Choice, Question, SiteContext
from interank.mining.database import Database, DrawnQuestion, QuestionWithAnswers
from interank.mining.documents import ChosenDocument, DocumentStore
from interank.mining.items import ContaminationCheck, Item
from interank.mining.pages import links_to_pages, passages, read_pages
from interank.mining.post_values import PostValues
from interank.mining.sites import Origin
from interank.settings import MiningRecipe
from interank.types import Document, Language, Pair, Query, Source, Split

_NUMBER = re.compile("-?[0-9]{1,20}")

Documents = dict[DrawnQuestion, list[ChosenDocument]]
"""The documents of each question, sorted by site and post."""


@dataclass(frozen=True, slots=True)
class Assembly:
    """Makes the pairs of all sites' drawn questions."""

    folder: Path
    origins: Sequence[Origin]
    numbers: Mapping[str, int]
    """The number of each site by its name, in the order of the origins."""
    settings: MiningRecipe
    seed: int
    texts: PostValues
    """The final texts of questions and of documents."""
    pages: dict[str, tuple[Document, Source]] = field(default_factory=dict)
    """The passages of linked pages, by document id."""

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites, in the order of their numbers."""
        return tuple(self.numbers)

    def chosen(
        self, database: Database, drawn: Collection[DrawnQuestion], contaminated: ContaminationCheck | None
    ) -> Documents:
        """Choose the documents of the drawn questions; a question without a negative gets none."""
        if not drawn:
            return {}
        database.link()
        posts = PostValues(self.folder / "posts.sqlite")
        database.keep_texts(posts)
        posts.close()
        database.give_back()
        documents: Documents = {}
        for number, site in enumerate(self.sites):
            if answers := database.answers(number):
                context = SiteContext(self.folder, self.sites, number, self.settings, self.seed)
                context.make_index(database.pool(number))
                by_post = self._of_site(context, answers, contaminated)
                documents |= {DrawnQuestion(site, post_id): by_post[post_id] for post_id in by_post}
        return documents

    def _of_site(
        self, context: SiteContext, answers: Sequence[QuestionWithAnswers], contaminated: ContaminationCheck | None
    ) -> dict[int, list[ChosenDocument]]:
        """Choose a site's documents, and replace contaminated ones until none is left."""
        questions = self._with_pages(context, answers)
        documents = self._collected(context, context.choose(questions, frozenset()))
        checked: set[str] = set()
        barred: frozenset[str] = frozenset()
        while unseen := {
            doc_id: None for chosen in documents.values() for _, doc_id in chosen if doc_id not in checked
        }:
            checked.update(unseen)
            self._keep_texts(context, [doc_id for doc_id in unseen if doc_id not in self.pages])
            if contaminated is None:
                break
            named = {self._name(doc_id): doc_id for doc_id in unseen}
            store = context.store()
            items = (self._item(store, name, doc_id) for name, doc_id in named.items())
            removed = frozenset(named[name] for name in contaminated(items))
            barred |= removed
            affected = [
                question
                for question in questions
                if any(doc_id in removed for _, doc_id in documents[question.answers.post_id])
            ]
            documents |= self._collected(context, context.choose(affected, barred))
        return documents

    def _collected(self, context: SiteContext, choices: Iterable[Choice]) -> dict[int, list[ChosenDocument]]:
        """Collect the documents of the choices, and store the questions' texts."""
        documents: dict[int, list[ChosenDocument]] = {}

        def texts() -> Iterator[tuple[int, int, str]]:
            for choice in choices:
                documents[choice.post_id] = choice.documents
                yield context.site, choice.post_id, choice.text

        self.texts.add(texts())
        return documents

    def _keep_texts(self, context: SiteContext, doc_ids: Sequence[str]) -> None:
        places = map(self._place, doc_ids)
        self.texts.add((*place, text) for place, text in zip(places, context.texts(doc_ids), strict=True))

    def _place(self, doc_id: str) -> tuple[int, int]:
        site, _, number = doc_id.rpartition("/")
        return self.numbers[site], int(number)

    def _with_pages(self, context: SiteContext, answers: Sequence[QuestionWithAnswers]) -> list[Question]:
        """Add the passages of pages that a question's answers link to, ranked by BM25."""
        if self.settings.pages is None:
            return [Question(one) for one in answers]
        store = context.store()
        linked: list[list[str]] = []
        for one in answers:
            posts = (store.post(context.doc_id(answer)) for answer in one.own)
            urls = (url for post in posts if post for url in links_to_pages(post.html))
            linked.append(list(dict.fromkeys(urls)))
        pages = read_pages(self.settings.pages, {address for urls in linked for address in urls})
        questions = []
        for one, addresses in zip(answers, linked, strict=True):
            cut = {
                document.doc_id: (document, source)
                for address in addresses
                if address in pages
                for document, source in passages(pages[address], self.settings.passage_words)
            }
            self.pages.update(cut)
            if cut:
                [choice] = context.choose([Question(one)], frozenset())
                best = _best_first(
                    [document for document, _ in cut.values()], Query("", choice.text), self.settings.language
                )
                questions.append(Question(one, [cut[doc_id] for doc_id in best]))
            else:
                questions.append(Question(one))
        return questions

    def _item(self, store: DocumentStore, name: str, doc_id: str) -> Item:
        if doc_id in self.pages:
            document, source = self.pages[doc_id]
            return Item(name, "document", source.site, source.post_id, "", source.url, document.full_text)
        source, post = store.source(doc_id), store.post(doc_id)
        assert post is not None
        names = self.origins[self.numbers[post.site]].names
        thread = "" if post.thread is None else names.get(post.thread, str(post.thread))
        post_id = names.get(post.post_id, source.post_id)
        text = self.texts.get(*self._place(doc_id))
        return Item(name, "document", source.site, post_id, thread, source.url, text)

    def repeats(self, drawn: Sequence[DrawnQuestion], documents: Documents) -> frozenset[DrawnQuestion]:
        """The questions that are near-duplicates of a question drawn earlier, on any site."""
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
        store = DocumentStore(posts, self.sites)
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
                        source = store.source(doc_id)
                    pair = Pair(query, document, splits[one], origin, source)
                    yield self._with_names(pair) if named else pair
        finally:
            posts.close()

    def _name(self, item_id: str) -> str:
        """The id of a query or document, with the post's original id in place of its internal number."""
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
    """The texts of questions, each read on access."""

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
        # Passages without a word that BM25 can search keep their order.
        ranked = []
    return list(dict.fromkeys([*ranked, *in_order]))
