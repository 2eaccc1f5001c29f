"""The names of classes: as a user gives them, and from a word to the classes that it fits."""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

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
    """Return the one class that a word stands for; ``ValueError`` if it's none, several or only a part of a name.

    A whole name stands for its class. Of parts only a whole word of a single label does: a mud puppy is an axolotl, but
    a puppy isn't, and a catfish is no fish that was asked for by "cat".
    """
    synonyms = [tuple(names) for names in synonyms]
    found = matches(word, labels, synonyms)
    best_rank = found[0][0]
    best = [index for rank, index in found if rank == best_rank]
    if len(best) == 1 and best_rank in (LABEL, SYNONYM):
        return best[0]
    if len(found) == 1 and _rank(plain(word), [plain(labels[best[0]])]) == WHOLE_WORD:
        return best[0]
    if len(found) == 1:
        names = ", ".join(name for name in (labels[best[0]], *synonyms[best[0]]) if plain(word) in plain(name))
        raise ValueError(
            f"{word!r} is no class, only a part of a name of class {best[0]}, {labels[best[0]]!r} ({names}). "
            "If you mean that class, give its label or number."
        )
    some = ", ".join(f"{index} {labels[index]}" for _, index in found[:8])
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    raise ValueError(f"{word!r} fits {len(found)} classes: {some}{more}. Give a full label or a number.")


@functools.lru_cache(maxsize=8192)  # each word is compared with all names
def plain(name: str) -> str:
    """Return a name as it's compared: lower case, single spaces, neither underscores nor hyphens."""
    return " ".join(re.sub(r"[_-]", " ", name.casefold()).split())


def _rank(word: str, names: Sequence[str]) -> int | None:
    """Return how well a word fits a class, ``None`` for not at all; the first of its names is its label."""
    if word in names:
        return LABEL if word == names[0] else SYNONYM
    text, literal = " | ".join(names), re.escape(word)
    if word not in text:
        return None
    for rank, pattern in ((WHOLE_WORD, rf"\b{literal}\b"), (BEGINNING, rf"\b{literal}"), (PART, literal)):
        if word and re.search(pattern, text):
            return rank
    return None


# --- What a user gives as labels ---


def as_labels(labels: Any) -> list[str]:
    """Return a name for each class, from a list, or from a mapping {0: "cat", ...} or {"cat": 0, ...}.

    Raises ``ValueError`` for what can't be one: a single text, a set, which has no order, a mapping with gaps.
    """
    if isinstance(labels, Mapping):
        names = _from_mapping(labels)
    elif isinstance(labels, str | bytes | set | frozenset) or not isinstance(labels, Iterable):
        why = "has no order" if isinstance(labels, set | frozenset) else "is no list"
        raise ValueError(
            'labels is a list with a name for each class, such as ["cat", "dog"], or a mapping {0: "cat", 1: "dog"}. '
            f"{_short(labels)} {why}."
        )
    else:
        names = list(labels)
    wrong = [name for name in names if isinstance(name, bool) or not isinstance(name, str | SupportsIndex)]
    if wrong or not names:
        raise ValueError(f"labels holds {f'{_short(wrong[0])}, which is no name' if wrong else 'no name'}. Give texts.")
    return [name if isinstance(name, str) else str(operator.index(name)) for name in names]


def _from_mapping(labels: Mapping[Any, Any]) -> list[Any]:
    """Return the names in the order of the class numbers: the keys, which may be texts as in JSON, or the values."""
    inverse = all(isinstance(value, int) for value in labels.values()) and not any(map(_number, labels))
    pairs = [(number, name) for name, number in labels.items()] if inverse else list(labels.items())
    by_number = {int(number): name for number, name in pairs if _number(number)}
    if sorted(by_number) != list(range(len(pairs))):
        raise ValueError(
            f"labels, as a mapping, needs each class number from 0 to {len(pairs) - 1} once; it has "
            f"{_short([number for number, _ in pairs])}."
        )
    return [by_number[number] for number in range(len(pairs))]


def _number(key: object) -> bool:
    """Tell whether a key is a class number: an int, of NumPy perhaps, or its digits."""
    digits = isinstance(key, str) and re.fullmatch(r"[0-9]+", key) is not None
    return digits or (isinstance(key, SupportsIndex) and not isinstance(key, bool))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
