"""What the starter's labels are worth: each grader's three grades beside human judgments, and beside votes.

    python benchmarks/labels.py --work DIR --judgments DIR --minilm DIR [--json FILE]

DIR is the work folder of `compare.py`, whose scores are read; nothing is ranked here. A label of the starter's is half
what votes and acceptance say, half what MiniLM's cosine says by two logistic curves. Votes exist for StackExchange
alone, and there are no human judgments of StackExchange's answers here, so that a whole label cannot be held against
people. What can be: MiniLM's half against the human judgments of DL19, SciFact and Cranfield; the same half against the
votes of sites that nothing was learned from; and how often votes and acceptance, which the other half mixes, agree.
The curves are read back from the judgments themselves. Graders that write probabilities (`untrained`, which is the only
teacher that runs here, and the starter) stand beside it.

A grade is the most probable one. kappa is Cohen's, of relevant or not (the highest grade), and weighted by squares, of
the three grades; intervals are 95% percentile bootstrap over queries. Only judged candidates count in DL19; elsewhere
what is not judged is not relevant.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import held_out
import numpy
from compare import cosines
from compare_report import ALONE, mixture, rows_of, values_of
from distill_quality import SEED, Site

from interank.ir.measures import judged_by_query
from interank.ir.significance import Sample
from interank.judgments import by_question, read_judgments
from interank.mining import Tally, find_dumps, read_rows
from interank.reranking.fitting import fused_run

VOTES_SHARE = 0.5
"""Of a label's probabilities; see `starter.py`."""
READ_BACK = 10
"""Questions whose judgments the curves are read back from."""
_GRADE = numpy.arange(3)
DISAGREEMENT: Mapping[str, Any] = {
    "kappa, relevant or not": ((_GRADE[:, None] == 2) != (_GRADE == 2)).astype(float),
    "kappa, three grades": (_GRADE[:, None] - _GRADE) ** 2.0,
}
"""How far two grades are apart, as each kappa counts it."""
HUMAN = ("dl19", "scifact", "cranfield")
TO_GRADES: Mapping[str, Mapping[int, int]] = {
    # NIST: 2 and 3 are relevant. Cranfield: 4 is a complete answer, 1 of minimum interest.
    "dl19": {0: 0, 1: 1, 2: 2, 3: 2},
    "scifact": {0: 0, 1: 2},
    "cranfield": {0: 0, 1: 1, 2: 1, 3: 2, 4: 2},
}
_LINE = 1e-3
_CROSSED = 1e-9
"""Where the curves cross, at the smallest cosines, grade 1 has no probability, and the lower one is not to be seen."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="of compare.py")
    parser.add_argument("--judgments", type=Path, required=True, metavar="DIR", help="what the starter learned")
    parser.add_argument("--minilm", required=True, metavar="MODEL", help="all-MiniLM-L6-v2, a folder or its name")
    parser.add_argument("--queries", type=int, help="as compare.py was given")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    options = parser.parse_args()
    curves = read_back(options)
    rows = []
    for name in (*HUMAN, "sites"):
        site = held_out.load(name, options.judgments, options.queries)
        for system in ("MiniLM", "untrained", "starter"):
            found = rows_of(options.work, system, name, site)
            if found:
                rows.append({"set": name, "grader": system} | agreement(options.work, name, site, system, curves))
    figures = {"curves": curves, "rows": rows, "votes and acceptance": votes_agree()}
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")


def read_back(options: argparse.Namespace) -> list[tuple[float, float]]:
    """The two curves' slope and place, of grade 1 or more and of grade 2, from what they gave some judgments."""
    questions = by_question(read_judgments(options.judgments))
    chosen = random.Random(SEED).sample(questions, min(READ_BACK, len(questions)))
    score = cosines(options.minilm)
    near, above = [], []
    for items in chosen:
        found = score(items[0].query, [item.document for item in items])
        for item, row in zip(items, found, strict=True):
            curve = [
                (p - VOTES_SHARE * (grade == item.judgment.relevance)) / (1 - VOTES_SHARE)
                for grade, p in enumerate(item.probabilities or ())
            ]
            if curve[1] > _CROSSED:
                near.append((row["score"], 1.0))
                above.append([math.log(p / (1 - p)) for p in (curve[1] + curve[2], curve[2])])
    lines, *_ = numpy.linalg.lstsq(numpy.array(near), numpy.array(above), rcond=None)
    if (worst := float(abs(numpy.array(near) @ lines - numpy.array(above)).max())) > _LINE:
        raise SystemExit(
            f"{options.judgments} was found to have other probabilities than MiniLM's curves and votes give (off by "
            f"{worst:.2g}); give the starter's judgments and its MiniLM"
        )
    return [(float(slope), float(place)) for slope, place in lines.T]


def grade_of(row: Mapping[str, Any], doc_id: str, curves: Sequence[tuple[float, float]]) -> int:
    """The most probable grade of a document."""
    if "probabilities" in row:
        return int(numpy.argmax(row["probabilities"][doc_id]))
    one, two = (1 / (1 + math.exp(-slope * row["scores"][doc_id] - place)) for slope, place in curves)
    return int(numpy.argmax([1 - max(one, two), max(one, two) - two, two]))


def agreement(work: Path, name: str, site: Site, system: str, curves: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """A grader's grades beside the truth of a set, and nDCG@10 of its order."""
    rows, judged = rows_of(work, system, name, site) or {}, judged_by_query(site.qrels)
    grades = TO_GRADES.get(name, {})
    tables = numpy.zeros((len(rows), 3, 3))
    for table, (query_id, row) in zip(tables, rows.items(), strict=True):
        known = judged[query_id]
        for doc_id in row["scores"]:
            if doc_id in known or name != "dl19":
                truth = known.get(doc_id, 0)
                table[grades.get(truth, truth), grade_of(row, doc_id, curves)] += 1
    ndcg = values_of(site, fused_run(mixture(work, name, site, system, "BM25") or [], ALONE))
    [mean] = Sample([len(site.queries)], seed=SEED).intervals(ndcg[:, None])
    together, flat = tables.sum(0), tables.reshape(-1, 9)
    ends = Sample([len(rows)], seed=SEED).bounds(flat, kappas)
    found = {
        name: [round(float(value), 4) for value in (kappa, *end)]
        for name, kappa, end in zip(DISAGREEMENT, kappas(flat.sum(0, keepdims=True))[0], ends, strict=True)
    }
    return {
        "pairs": int(together.sum()),
        "grades true": together.sum(1).astype(int).tolist(),
        "grades given": together.sum(0).astype(int).tolist(),
        **found,
        "nDCG@10": [round(mean.mean, 4), round(mean.low, 4), round(mean.high, 4)],
    }


def kappas(sums: Any) -> Any:
    """The kappas of tables of true and given grades, one a row; where all grades are one there is none."""
    tables = sums.reshape(-1, 3, 3)
    true, given, all_pairs = tables.sum(2), tables.sum(1), tables.sum((1, 2))
    by_chance = true[:, :, None] * given[:, None, :] / all_pairs[:, None, None]
    with numpy.errstate(invalid="ignore", divide="ignore"):
        found = [1 - (tables * of).sum((1, 2)) / (by_chance * of).sum((1, 2)) for of in DISAGREEMENT.values()]
    return numpy.stack(found, axis=1)


def votes_agree() -> dict[str, Any]:
    """Of the held-out sites' questions with an accepted answer among several: whether most votes are its own."""
    questions, agreed, tied = 0, 0, 0
    for dump in (dump for site in held_out.HELD_OUT for dump in find_dumps(held_out.folder(site))):
        posts = [row.attributes for row in read_rows(dump.tables["Posts"], Tally())]
        answers: dict[str, dict[str, int]] = {}
        for post in posts:
            if post["PostTypeId"] == "2":
                answers.setdefault(post["ParentId"], {})[post["Id"]] = int(post["Score"])
        for post in posts:
            own = answers.get(post["Id"], {})
            accepted = own.get(post.get("AcceptedAnswerId", ""))
            if accepted is not None and len(own) > 1:
                others = [votes for name, votes in own.items() if name != post["AcceptedAnswerId"]]
                questions += 1
                agreed += accepted > max(others)
                tied += accepted == max(others)
    return {"questions": questions, "accepted has most votes": agreed, "tied": tied}


if __name__ == "__main__":
    main()
