"""A tokenizer that several threads may use at once."""

from __future__ import annotations

import copy
import threading
from typing import Any


class SharedTokenizer:
    """Wraps a tokenizer, and makes one call at a time.

    A call sets its options, such as splitting special tokens, on the tokenizer itself, where a concurrent call would
    find them: untrusted text could then become a special token.
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
