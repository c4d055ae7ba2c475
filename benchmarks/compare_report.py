"""The tables of `compare.py`: means with intervals, paired differences, a margin test, and questions after 2021."""

from __future__ import annotations

import argparse
import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import held_out
import numpy
from distill_quality import MEASURE, RANDOM_ORDERS, SEED, Site
from rerank_rivals import processor

from interank.ir.measures import ideal_run, random_run, score_run
from interank.ir.significance import Sample, holm
from interank.ledger import Ledger
from interank.reranking.fitting import Candidates, Fusion, fit_fusion, fused_run
from interank.types import Run

MIXED_WITH = ("BM25", "MiniLM")
MARGIN = 0.01
MINILM_TRAINED = "2021-08"
"""When all-MiniLM-L6-v2 was published: a question asked later was not in its training data."""
ALONE = Fusion("minmax", 1.0)
DIFFERENCES = (
    ("starter", "random order"),
    ("starter", "untrained"),
    ("starter", "BM25"),
    ("starter", "cross-encoder"),
    ("starter", "MiniLM"),
    ("cross-encoder", "MiniLM"),
    ("MiniLM", "BM25"),
    ("starter + BM25", "BM25"),
    ("starter + BM25", "cross-encoder + BM25"),
    ("starter + MiniLM", "MiniLM"),
    ("cross-encoder + MiniLM", "MiniLM"),
    ("starter + MiniLM", "MiniLM + BM25"),
)


@dataclass
class Table:
    """nDCG@10 of every query, by set and system, and what the systems took."""

    sites: dict[str, Site]
    values: dict[str, dict[str, Any]]
    costs: dict[str, dict[str, float]] = field(default_factory=dict)
    fusions: dict[str, Fusion] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """All that some set has, in the order in which they were added."""
        return list(dict.fromkeys(name for of in self.values.values() for name in of))

    def joined(self, system: str, sets: Sequence[str]) -> Any | None:
        """The values of several sets, one after the other; None where a set lacks the system."""
        if not all(system in self.values[name] for name in sets):
            return None
        return numpy.concatenate([self.values[name][system] for name in sets])

    def sample(self, sets: Sequence[str]) -> Sample:
        """The queries of some sets; a mean is that of the sets' means."""
        return Sample([len(self.sites[name].queries) for name in sets], seed=SEED)


def report(options: argparse.Namespace) -> None:
    """Write `report.md` and `report.json`."""
    table = filled(options)
    figures = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "queries": {
            name: {"all": len(site.queries), "with a relevant candidate": len(held_out.reachable(site))}
            for name, site in table.sites.items()
        },
        "means": means(table),
        "costs": table.costs,
        "fusions": {name: f"{fusion.method}, weight {fusion.weight:g}" for name, fusion in table.fusions.items()},
        "differences": differences(table),
        "asked after MiniLM was trained": later(table),
        "per query": {
            name: {system: [round(float(v), 4) for v in values] for system, values in of.items()}
            for name, of in table.values.items()
        },
    }
    (options.work / "report.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    text = written(figures)
    (options.work / "report.md").write_text(text, "utf-8")
    print(text)


def filled(options: argparse.Namespace) -> Table:
    """All that was ranked to its end."""
    sites = {name: held_out.load(name, options.judgments, options.queries) for name in options.sets}
    fit = held_out.load(held_out.FIT, options.judgments)
    table = Table(sites, {})
    systems = sorted(path.name for path in options.work.iterdir() if path.is_dir() and path.name != "BM25")
    fitted = {
        (system, other): fusion_of(options.work, fit, system, other) for system in systems for other in MIXED_WITH
    }
    table.fusions = {f"{ours} + {other}": fusion for (ours, other), fusion in fitted.items() if fusion}
    for name, site in sites.items():
        shuffles = [values_of(site, random_run(site.candidates, seed)) for seed in range(RANDOM_ORDERS)]
        runs = {"BM25": site.candidates}
        for system in systems:
            if (alone := mixture(options.work, name, site, system, "BM25")) is not None:
                runs[system] = fused_run(alone, ALONE)
        for (system, other), fusion in fitted.items():
            if fusion and (both := mixture(options.work, name, site, system, other)) is not None:
                runs[f"{system} + {other}"] = fused_run(both, fusion)
        runs["perfect order"] = ideal_run(site.qrels, site.candidates)
        table.values[name] = {"random order": numpy.mean(shuffles, axis=0)}
        table.values[name] |= {system: values_of(site, run) for system, run in runs.items()}
    table.costs = {system: cost for system in ["BM25", *systems] if (cost := cost_of(options, sites, system))}
    return table


def values_of(site: Site, run: Run) -> Any:
    """nDCG@10 of each query; one of which nothing was ranked has 0."""
    found = score_run(site.qrels, run, [MEASURE]).per_query[MEASURE]
    return numpy.array([found[query.query_id] for query in site.queries])


def place_of(work: Path, system: str, name: str) -> Path:
    """Where a system's scores of a set are."""
    return work / system.replace("/", "-") / f"{name}.jsonl"


def scored(ledger: Ledger, site: Site, model: str | None = None) -> dict[str, dict[str, Any]]:
    """The rows of this model and these candidates, by query; without a model those of the last one."""
    rows = list(ledger.rows())
    model = model or (rows[-1]["model"] if rows else None)
    candidates = site.candidates
    return {
        row["query_id"]: row
        for row in rows
        if row["model"] == model
        and row["query_id"] in candidates
        and row["scores"].keys() == set(candidates.doc_ids(row["query_id"]))
    }


def rows_of(work: Path, system: str, name: str, site: Site) -> dict[str, dict[str, Any]] | None:
    """A system's rows by query; None before all are there."""
    found = scored(Ledger(place_of(work, system, name)), site)
    return found if all(query.query_id in found for query in held_out.reachable(site)) else None


def mixture(work: Path, name: str, site: Site, ours: str, other: str) -> list[Candidates] | None:
    """Each query's candidates in another system's order, with both scores; None before all are there."""
    rows = rows_of(work, ours, name, site)
    others = None if other == "BM25" else rows_of(work, other, name, site)
    if rows is None or ours == other or (other != "BM25" and others is None):
        return None
    found = []
    for query in held_out.reachable(site):
        given = others[query.query_id]["scores"] if others else site.candidates.scores(query.query_id)
        ranked = sorted(given, key=lambda doc_id: -given[doc_id])
        scores = rows[query.query_id]["scores"]
        found.append(
            Candidates(
                query.query_id,
                tuple(ranked),
                tuple(scores[doc_id] for doc_id in ranked),
                tuple(given[doc_id] for doc_id in ranked),
            )
        )
    return found


def fusion_of(work: Path, fit: Site, ours: str, other: str) -> Fusion | None:
    """How a system is best mixed with another on questions that no set has; None before both have ranked them."""
    both = mixture(work, held_out.FIT, fit, ours, other)
    return fit_fusion(both, lambda run: float(values_of(fit, run).mean()))[0] if both else None


def cost_of(options: argparse.Namespace, sites: Mapping[str, Site], system: str) -> dict[str, float]:
    """Means of a query with its candidates over all sets, and the largest memory."""
    found = [rows for name, site in sites.items() if (rows := rows_of(options.work, system, name, site))]
    rows = [row for each in found for row in each.values()]
    if not rows:
        return {}
    return {
        "processor_seconds": round(sum(row["processor_seconds"] for row in rows) / len(rows), 3),
        "seconds": round(sum(row["seconds"] for row in rows) / len(rows), 3),
        "megabytes": round(max(row["peak_bytes"] for row in rows) / 1e6),
    }


def means(table: Table) -> dict[str, dict[str, Any]]:
    """Each system's mean with its 95% interval, by set and over all sets."""
    found: dict[str, dict[str, Any]] = {}
    for system in ordered(table.systems):
        for name, sets in spans(table):
            values = table.joined(system, sets)
            if values is not None:
                [of] = table.sample(sets).intervals(values[:, None])
                found.setdefault(system, {})[name] = [round(of.mean, 4), round(of.low, 4), round(of.high, 4)]
    return found


def ordered(systems: Sequence[str]) -> list[str]:
    """Systems alone, then mixtures, between random and perfect order."""
    ends = ["random order", "perfect order"]
    between = sorted((name for name in systems if name not in ends), key=lambda name: " + " in name)
    return [ends[0], *between, ends[1]]


def spans(table: Table) -> list[tuple[str, list[str]]]:
    """Each set, and all of them."""
    alone = [(name, [name]) for name in table.sites]
    return [*alone, ("mean", list(table.sites))] if len(alone) > 1 else alone


def differences(table: Table) -> list[dict[str, Any]]:
    """Paired differences with 95% intervals and randomisation tests, corrected for their number by Holm."""
    rows: list[dict[str, Any]] = []
    for ours, against in DIFFERENCES:
        for name, sets in spans(table):
            one, other = table.joined(ours, sets), table.joined(against, sets)
            if one is not None and other is not None:
                sample, both = table.sample(sets), (one - other)[:, None]
                [of], [p] = sample.intervals(both), sample.p_values(both)
                row = {"systems": f"{ours} - {against}", "set": name, "difference": round(of.mean, 4)}
                row |= {"low": round(of.low, 4), "high": round(of.high, 4), "p": round(p, 5)}
                if against == "MiniLM":
                    row["not inferior"] = bool(of.low > -MARGIN)
                rows.append(row)
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["holm"] = round(corrected, 5)
    return rows


def later(table: Table) -> dict[str, Any]:
    """The questions of the sites that were asked after MiniLM was trained, by themselves."""
    if "sites" not in table.sites:
        return {}
    dates = held_out.asked_on()
    of = [dates[query.query_id] for query in table.sites["sites"].queries]
    chosen = numpy.array([date >= MINILM_TRAINED for date in of])
    found: dict[str, Any] = {"since": MINILM_TRAINED, "questions": int(chosen.sum()), "newest of all": max(of)[:10]}
    if chosen.any():
        sample = Sample([int(chosen.sum())], seed=SEED)
        for system, values in table.values["sites"].items():
            [mean] = sample.intervals(values[chosen][:, None])
            found[system] = [round(mean.mean, 4), round(mean.low, 4), round(mean.high, 4)]
    return found


def written(figures: Mapping[str, Any]) -> str:
    """The report in Markdown."""
    sets = list(dict.fromkeys(name for of in figures["means"].values() for name in of))
    lines = [
        f"{figures['machine']}; {figures['date']}. nDCG@10 [95% interval]; s: processor seconds a query; MB: the "
        "process at its highest.",
        "",
        "| system | " + " | ".join(sets) + " | s | MB |",
        "|---|" + "---|" * (len(sets) + 2),
    ]
    for system, of in figures["means"].items():
        cells = [f"{of[n][0]:.3f} [{of[n][1]:.3f}, {of[n][2]:.3f}]" if n in of else "" for n in sets]
        cost = figures["costs"].get(system, {})
        cells += [f"{cost['processor_seconds']:.3f}", f"{cost['megabytes']}"] if cost else ["", ""]
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    told = [f"{name} {of['all']} ({of['with a relevant candidate']})" for name, of in figures["queries"].items()]
    lines += ["", f"Queries (with a relevant candidate): {', '.join(told)}.", ""]
    lines += [f"Mixed: {'; '.join(f'{name} by {how}' for name, how in figures['fusions'].items()) or 'none'}.", ""]
    lines += ["| difference | set | mean [95%] | p (Holm) | not inferior by " + f"{MARGIN} |", "|---|---|---|---|---|"]
    for row in figures["differences"]:
        verdict = {True: "yes", False: "not shown", None: ""}[row.get("not inferior")]
        lines.append(
            f"| {row['systems']} | {row['set']} | {row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}] | "
            f"{row['p']:.4f} ({row['holm']:.4f}) | {verdict} |"
        )
    after = figures["asked after MiniLM was trained"]
    if after:
        lines += [
            "",
            f"Questions of `sites` asked since {after['since']}: {after['questions']}; the newest was asked on "
            f"{after['newest of all']}.",
        ]
        lines += [
            f"{name}: {value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
            for name, value in after.items()
            if isinstance(value, list)
        ]
    return "\n".join(lines) + "\n"
