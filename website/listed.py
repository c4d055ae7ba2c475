"""The reference of rewards, measures, recipes and errors, from the files and modules that are them."""

from __future__ import annotations

import ast
import inspect

from interank import errors
from interank.ir.measures import MEASURE_EXAMPLES
from interank.recipe import recipe_files, summary
from interank.recipe.summaries import Summary
from interank.resources import resource_dir

_TRAINING = ("distill/", "reward/", "rl/")
_MEASURES = {
    "nDCG@10": "Discounted gain of the first ten, out of that of the best order. Grades count, and so do places.",
    "nDCG": "The same over the whole ranking.",
    "AP": "Average precision (`MAP` is understood): the mean of the precision at each relevant document.",
    "AP(rel=2)": "The same, where only grades of 2 and more count as relevant; other measures take `rel` too.",
    "RR": "One over the place of the first relevant document (`MRR`).",
    "P@10": "The share of the first ten that is relevant.",
    "R@100": "The share of the relevant documents that stand among the first hundred (`Recall@100`).",
    "Success@1": "Whether one of the first is relevant.",
    "Rprec": "Precision at as many documents as are relevant.",
    "Bpref": "How often a relevant document stands above those judged irrelevant; unjudged ones are passed over.",
}


def rewards() -> str:
    """The reference page of the rewards folder."""
    parts = [
        "# Rewards",
        "What the files of `rewards/` say of themselves. A recipe of rl names them as `rewards: [{use: ranking, "
        "weight: 0.5, params: {measure: ndcg}}]`. "
        "[A reward of your own](../howto/own-reward.md) is one more such file.",
    ]
    for path in sorted(resource_dir("rewards").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        said = {
            node.targets[0].id: ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id in ("OF", "CREDIT", "COMPARES")
        }
        of = "orders of a list" if said.get("OF") == "lists" else "judgments of a document"
        credit = {"grade": "the grade", "explanation": "the explanation", "answer": "the whole answer"}
        facts = [f"Values {of}; its credit goes to {credit[said.get('CREDIT', 'answer')]}."]
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "reward")
        params = [
            f"`{name.arg}: {ast.unparse(value)}`"
            for name, value in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
            if isinstance(value, ast.Constant) and value.value is not None and not isinstance(value.value, bytes)
        ]
        if params:
            facts.append(f"Parameters with defaults: {', '.join(params)}.")
        parts += [f"## {path.stem}", ast.get_docstring(tree) or "", " ".join(facts)]
    return "\n\n".join(parts) + "\n"


def measures() -> str:
    """The reference page of the measures of a ranking."""
    rows = [f"| `{name}` | {_MEASURES[name]} |" for name in MEASURE_EXAMPLES]
    parts = [
        "# Measures",
        "Names are those of ir_measures, and the figures are trec_eval's: `measures=nDCG@10,R@100` in a recipe of "
        "evaluate, or `interank score QRELS RUN nDCG@10 R@100`. The first one chooses adapters and stands on the "
        "terminal. A judged query without results counts 0.",
        "\n".join(["| measure | what it tells |", "|---|---|", *rows]),
        "`infAP`, `SetP`, `SetR`, `SetF`, `SetAP`, `NumRet` and `NumRel` are computed too. Cut-offs go behind `@`. "
        "Beside them an evaluation tells calibration, abstention, cost and what chance could have done: "
        "[Evaluating](../evaluation.md).",
    ]
    return "\n\n".join(parts) + "\n"


def recipes() -> str:
    """The table of the recipes that come along."""
    rows = ["| recipe | what it is for | hardware | time | cost | known |", "|---|---|---|---|---|---|"]
    rows += [
        f"| `{name}` | {found.what} | {found.hardware} | {found.time} | {found.cost} | {_known(found)} |"
        for name, found in _summaries()
    ]
    return "\n".join(rows) + "\n"


def recipes_of(hardware: str) -> str:
    """The same of the recipes that train something on this hardware."""
    rows = ["| recipe | what it is for | time | cost |", "|---|---|---|---|"]
    rows += [
        f"| `{name}` | {found.what} | {found.time} | {found.cost} |"
        for name, found in _summaries()
        if found.hardware == hardware and name.startswith(_TRAINING)
    ]
    return "\n".join(rows) + "\n"


def _summaries() -> list[tuple[str, Summary]]:
    return [(name, summary(path)) for name, path in recipe_files()]


def _known(found: Summary) -> str:
    """Whether time and cost were measured."""
    if "~" in found.time + found.cost:
        return "computed"
    return "measured" if found.time[:1].isdigit() else "depends"


def tree_of_errors() -> str:
    """The errors as Python raises them."""
    rows = ["| error | raised where |", "|---|---|"]
    for name, each in vars(errors).items():
        if inspect.isclass(each) and issubclass(each, errors.InterankError):
            rows.append(f"| `{name}` ({each.__mro__[1].__name__}) | {(each.__doc__ or '').splitlines()[0]} |")
    return "\n".join(rows) + "\n"
