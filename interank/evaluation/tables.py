"""The evaluation's tables as rows of cells, and their rendering as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interank import cards
from interank.evaluation.scoring import FIRST_STAGE

Rows = list[list[str]]
Metrics = Mapping[str, Mapping[str, Any]]

SIGNIFICANT = 0.05
METHOD = (
    "Intervals are 95% bootstrap intervals of the mean of task means (10,000 resamples of the queries within their "
    "tasks); differences are paired by query. p is of a two-sided paired randomisation test, corrected by Holm's "
    "method for the number of pairs of systems. Random and perfect order are of the first stage's candidates: the "
    "floor and the ceiling of whatever reranks them."
)
_LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


def systems(metrics: Metrics, seconds: Mapping[str, float | None], measure: str) -> Rows:
    """Header and rows: system, the measure with its interval, gain over the first stage with p, queries, cost."""
    rows = [["system", measure, "95% interval", "vs first stage", "p", "queries", "s/query"]]
    for name, system in metrics.items():
        value, cost = system[measure], seconds.get(name)
        gain = value.get("gain")
        rows.append(
            [
                name,
                f"{value['mean']:.4f}",
                f"{value['low']:.4f} to {value['high']:.4f}",
                f"{gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})" if gain else "",
                chance(gain["p_corrected"]) if gain and "p" in gain else "",
                str(system["queries"]),
                "" if cost is None else f"{cost:.3f}",
            ]
        )
    return rows


def by_task(metrics: Metrics, measure: str) -> Rows:
    """Header and rows: system, the measure on each task, the mean of the tasks."""
    names = list(next(iter(metrics.values()))["tasks"])
    rows = [["system", *names, "mean"]]
    for system, own in metrics.items():
        tasks = own["tasks"]
        rows.append([system, *(f"{tasks[n][measure]['mean']:.4f}" for n in names), f"{own[measure]['mean']:.4f}"])
    return rows


def all_measures(metrics: Metrics, measures: Sequence[str]) -> Rows:
    """Header and rows: system and its mean under every measure."""
    rows = [["system", *measures]]
    return rows + [[name, *(f"{own[m]['mean']:.4f}" for m in measures)] for name, own in metrics.items()]


def comparisons(pairs: Sequence[Mapping[str, Any]], measure: str) -> Rows:
    """Header and rows: two systems, their difference with interval, p, and how many queries each wins."""
    head = ["system", "against", measure, "95% interval", "p", "p corrected", "wins/ties/losses"]
    return [head] + [
        [
            item["system"],
            item["against"],
            f"{item['mean']:+.4f}",
            f"{item['low']:+.4f} to {item['high']:+.4f}",
            chance(item["p"]),
            chance(item["p_corrected"]),
            f"{item['wins']}/{item['ties']}/{item['losses']}",
        ]
        for item in pairs
        if item["measure"] == measure
    ]


def diagnoses(metrics: Metrics) -> Rows:
    """Header and rows: calibration, risk and explanations of the systems with probabilities."""
    rows = [["system", "ECE", "Brier", "base rate", "risk-coverage area (random, best)", "words", "quotes found"]]
    for name, system in metrics.items():
        if "calibration" in system and "risk_coverage" in system:
            fit, risk = system["calibration"], system["risk_coverage"]
            explanations = system.get("explanations")
            rows.append(
                [
                    name,
                    _with_interval(fit["expected_error"], fit),
                    f"{fit['brier']:.3f}",
                    f"{fit['base_rate']:.3f}",
                    f"{risk['area']:.3f} ({risk['area_at_random']:.3f}, {risk['area_at_best']:.3f})",
                    f"{explanations['mean_words']:.0f} in {explanations['count']}" if explanations else "",
                    _share(explanations["quotes_found_share"], explanations["quotes"]) if explanations else "",
                ]
            )
    return rows


def marks(metrics: Metrics) -> Rows:
    """Header and rows: the mean mark of each system's explanations, by reward."""
    marked = {name: own for name, system in metrics.items() if (own := system.get("explanations", {}).get("marks"))}
    names = list(dict.fromkeys(name for own in marked.values() for name in own))
    return [["system", *names, "explanations"]] + [
        [
            system,
            *(_with_interval(own[name]["mean"], own[name]) if name in own else "" for name in names),
            str(max(each["count"] for each in own.values())),
        ]
        for system, own in marked.items()
    ]


def fitted(metrics: Metrics) -> Rows:
    """Header and rows: calibration before and after a fit, and the measure on answered and refused queries."""
    head = ["system", "ECE before", "ECE after", "smaller by", "answered", "measure there", "elsewhere"]
    rows = [head]
    for name, system in metrics.items():
        if "calibrated" not in system:
            continue
        before, after, abstention = system["calibration"], system["calibrated"], system.get("abstention", {})
        gain = after["improvement"]
        figures = [abstention.get(key) for key in ("coverage", "answered", "refused")]
        rows.append(
            [
                name,
                _with_interval(before["expected_error"], before),
                _with_interval(after["expected_error"], after),
                _with_interval(gain["mean"], gain),
                *("" if value is None else _with_interval(value["mean"], value) for value in figures),
            ]
        )
    return rows


def costs(by_system: Mapping[str, Mapping[str, Any]]) -> Rows:
    """Header and rows: each system's mean cost of a query."""
    rows = [["system", "tokens read", "tokens written", "GFLOP", "seconds", "price"]]
    for name, cost in by_system.items():
        work, price = cost.get("flops"), cost.get("price")
        rows.append(
            [
                name,
                f"{cost['tokens_read']:.0f}" if "tokens_read" in cost else "",
                f"{cost['tokens_written']:.0f}" if "tokens_written" in cost else "",
                f"{work / 1e9:.1f}" if work is not None else "",
                f"{cost['seconds']:.3f}",
                f"{price:.2g}" if price is not None else "",
            ]
        )
    return rows


def chance(p: float) -> str:
    """A p-value in three digits."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a Markdown table; cells are escaped, so none can end the table or add markup."""
    head, *body = ([cards.cell(one_line(cell)) for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def latex(metrics: Metrics, measure: str) -> str:
    r"""The systems by task as a booktabs table, to be `\input`; a dagger marks p < .05 against the first stage."""
    head, *body = by_task(metrics, measure)
    if len(head) == 3:
        # One task is its own mean.
        head, *body = ([row[0], row[-1]] for row in (head, *body))
        head = [head[0], measure]
    lines = [
        f"% {measure}; needs \\usepackage{{booktabs}}. \\dagger: p < {SIGNIFICANT} against the {FIRST_STAGE}, paired",
        "% randomisation test, corrected by Holm's method.",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        _latex_row(head),
        r"\midrule",
    ]
    for name, *cells in body:
        gain = metrics[name][measure].get("gain", {})
        mark = r"$^\dagger$" if gain.get("p_corrected", 1.0) < SIGNIFICANT else ""
        lines.append(_latex_row([name, *cells], mark))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def one_line(text: str, length: int = 160) -> str:
    """The text on one line without control characters, cut to the length."""
    line = "".join(character if character.isprintable() else " " for character in " ".join(text.split()))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def _latex_row(cells: Sequence[str], mark: str = "") -> str:
    return f"{' & '.join(one_line(cell).translate(_LATEX) for cell in cells)}{mark} \\\\"


def _with_interval(value: float, interval: Mapping[str, Any]) -> str:
    """A figure in three digits, with its interval if there is one."""
    if "low" not in interval:
        return f"{value:.3f}"
    return f"{value:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _share(share: float | None, count: int) -> str:
    return "none quoted" if share is None else f"{share:.0%} of {count}"
