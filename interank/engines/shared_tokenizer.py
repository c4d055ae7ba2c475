"""A tokenizer that several threads use: each call is as if there were no other."""

from __future__ import annotations

import copy
import threading
from typing import Any


class SharedTokenizer:
    """Another tokenizer, one call at a time.

    A call sets what it asks for, as whether special tokens are split, on the tokenizer itself, where a second one would
    find it: the text of a stranger could then hold a special token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._lock = threading.RLock()

    def __call__(self, *texts: Any, **how: Any) -> Any:
        """The ids of a text or a pair."""
        with self._lock:
            return self._tokenizer(*texts, **how)

    def decode(self, *ids: Any, **how: Any) -> Any:
        """The text of ids."""
        with self._lock:
            return self._tokenizer.decode(*ids, **how)

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedTokenizer:
        """A copy of the tokenizer, with a lock of its own."""
        with self._lock:
            return SharedTokenizer(copy.deepcopy(self._tokenizer, memo))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)
