"""Lists of a query's documents with the order that a teacher put them in: what listwise training reads."""

from interank.orderings.dear_cot import Unusable, read_dear_cot
from interank.orderings.lists import JudgedList, ListExample, dealt_anew, judged_lists, moved, shuffled
from interank.orderings.rows import FILE, REJECTED_FILE, read_orderings, write_orderings
from interank.orderings.values import is_whole, order_values, reward_values

__all__ = [
    "FILE",
    "REJECTED_FILE",
    "JudgedList",
    "ListExample",
    "Unusable",
    "dealt_anew",
    "is_whole",
    "judged_lists",
    "moved",
    "order_values",
    "read_dear_cot",
    "read_orderings",
    "reward_values",
    "shuffled",
    "write_orderings",
]
