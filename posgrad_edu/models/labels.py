"""From a word to the classes that it fits, by their labels and the other names they have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from posgrad_edu.errors import unknown_name

# How well a word fits a class.
LABEL, SYNONYM, WHOLE_WORD, BEGINNING, PART = range(5)


def matches(word: str, labels: Sequence[str], synonyms: Iterable[Iterable[str]]) -> list[tuple[int, int]]:
    """Return (how well it fits, class) for each class that the word fits, best first.

    Raises ``ValueError`` with the nearest names if it fits none.
    """
    wanted = plain(word)
    classes = [(label, *others) for label, others in zip(labels, synonyms, strict=True)]
    ranks = [_rank(wanted, [plain(name) for name in names]) for names in classes]
    found = sorted((rank, index) for index, rank in enumerate(ranks) if rank is not None)
    if not found:
        raise unknown_name("class", word, dict.fromkeys(name for names in classes for name in names))
    return found


def single_match(word: str, labels: Sequence[str], synonyms: Iterable[Iterable[str]]) -> int:
    """Return the one class that a word stands for; ``ValueError`` if it's none or several."""
    found = matches(word, labels, synonyms)
    best_rank = found[0][0]
    best = [index for rank, index in found if rank == best_rank]
    if len(found) == 1 or (len(best) == 1 and best_rank in (LABEL, SYNONYM)):
        return best[0]
    some = ", ".join(f"{index} {labels[index]}" for _, index in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    raise ValueError(f"{word!r} fits {len(found)} classes: {some}{more}. Give a full label or a number.")


def plain(name: str) -> str:
    """Return a name as it's compared: lower case, single spaces, neither underscores nor hyphens."""
    return " ".join(re.sub(r"[_-]", " ", name.casefold()).split())


def _rank(word: str, names: Sequence[str]) -> int | None:
    """Return how well a word fits a class, ``None`` for not at all; the first of its names is its label."""
    if word in names:
        return LABEL if word == names[0] else SYNONYM
    text, literal = " | ".join(names), re.escape(word)
    for rank, pattern in ((WHOLE_WORD, rf"\b{literal}\b"), (BEGINNING, rf"\b{literal}"), (PART, literal)):
        if word and re.search(pattern, text):
            return rank
    return None
