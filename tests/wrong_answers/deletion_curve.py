"""deletion_curve(score, x, hidden, rank, counts)"""

import numpy as np
import torch


def one_by_one(score, x, hidden, rank, counts):
    found = []
    for n in counts:
        picture = x.clone()
        picture[:, :, rank < n] = hidden[:, :, rank < n]
        found.append(score(picture).item())
    return found


def by_masks(score, x, hidden, rank, counts):
    mask = torch.stack([(rank < n).to(x.dtype) for n in counts])[:, None]
    return score(x * (1 - mask) + hidden * mask).numpy()


def growing(score, x, hidden, rank, counts):
    """One patch more at a time; the pictures asked for are kept."""
    picture, kept = x.clone(), {0: x.clone()}
    for n in range(int(rank.max()) + 1):
        here = (rank == n).expand_as(picture)
        picture[here] = hidden[here]
        kept[n + 1] = picture.clone()
    return [score(kept[n]) for n in counts]


def picture_by(make):
    """make(x, hidden, rank, n) -> picture"""
    return lambda score, x, hidden, rank, counts: [float(score(make(x, hidden, rank, n))) for n in counts]


def masked(mask):
    return picture_by(lambda x, hidden, rank, n: torch.where(mask(rank, n), hidden, x))


def afterwards(change):
    return lambda *args: change(np.array(one_by_one(*args)))


def steps_only(score, x, hidden, rank, counts):
    found, before = [], 0
    for n in counts:
        found.append(float(score(torch.where((rank < n) & (rank >= before), hidden, x))))
        before = n
    return found


def in_place(score, x, hidden, rank, counts):
    found = []
    for n in counts:
        x[:, :, rank < n] = hidden[:, :, rank < n]
        found.append(float(score(x)))
    return found


def with_counts(change):
    return lambda score, x, hidden, rank, counts: one_by_one(score, x, hidden, rank, change(counts))


def pixels(score, x, hidden, rank, counts):
    places = sorted(range(rank.numel()), key=lambda place: int(rank.flatten()[place]))
    found = []
    for n in counts:
        picture = x.clone().reshape(1, 3, -1)
        picture[:, :, places[:n]] = hidden.reshape(1, 3, -1)[:, :, places[:n]]
        found.append(float(score(picture.view_as(x))))
    return found


def fading(score, x, hidden, rank, counts):
    found = []
    for n in counts:
        found.append(float(score(torch.where(rank < n, hidden, x))))
        x = 0.9 * x
    return found


RIGHT = {"one by one": one_by_one, "masks, all at once, an array": by_masks, "patch by patch": growing}
WRONG = {
    "insertion": (masked(lambda rank, n: rank >= n), "insertion"),
    "arguments swapped": (lambda s, x, hidden, r, c: one_by_one(s, hidden, x, r, c), "insertion"),
    "least first": (masked(lambda rank, n: rank.max() - rank < n), "least-first"),
    "one too many": (masked(lambda rank, n: rank <= n), "off-by-one"),
    "single patch": (masked(lambda rank, n: rank == n - 1), "one-patch"),
    "new ones": (steps_only, "not-cumulative"),
    "counts ignored": (lambda s, x, h, r, c: one_by_one(s, x, h, r, list(range(len(c)))), "counts-ignored"),
    "so many more": (with_counts(lambda counts: list(np.cumsum(counts))), "counts-added"),
    "whole photo in front": (with_counts(lambda counts: [0, *counts]), "begins-whole"),
    "whole photo for the first": (with_counts(lambda counts: [0, *counts[1:]]), "begins-whole"),
    "pixels": (pixels, "pixels"),
    "later ones": (masked(lambda rank, n: ~(rank <= n)), "insertion"),
    "returned in the loop": (lambda s, x, h, r, c: one_by_one(s, x, h, r, c[:1]), "first-score-only"),
    "the photo fades": (fading, "first-photo-only"),
    "cut at zero": (afterwards(lambda s: np.maximum(s, 0)), "relu-on-result"),
    "magnitudes": (afterwards(abs), "absolute-result"),
    "minus the covered": (lambda s, x, h, r, c: [v - float(s(h)) for v in one_by_one(s, x, h, r, c)], "kept"),
    "fallen": (lambda s, x, h, r, c: [float(s(x)) - v for v in one_by_one(s, x, h, r, c)], "lost"),
    "zeros": (picture_by(lambda x, h, r, n: x * (r >= n)), "zeros"),
    "mean colour": (picture_by(lambda x, h, r, n: torch.where(r < n, x.flatten(2).mean(2)[..., None, None], x)),
                    "own-cover"),
    "added": (picture_by(lambda x, h, r, n: x + h * (r < n)), "added"),
    "half": (picture_by(lambda x, h, r, n: torch.where(r < n, 0.5 * h + 0.5 * x, x)), "half-covered"),
    "red only": (picture_by(lambda x, h, r, n: torch.cat([torch.where(r < n, h, x)[:, :1], x[:, 1:]], 1)),
                 "one-colour"),
    "divided": (afterwards(lambda s: s / s[0]), "kept"),
    "kept": (afterwards(lambda s: (s - s[-1]) / (s[0] - s[-1])), "kept"),
    "lost": (afterwards(lambda s: s[0] - s), "lost"),
    "steps": (afterwards(np.diff), "differences"),
    "without the first": (afterwards(lambda s: s[1:]), "one-missing"),
    "from its end": (afterwards(lambda s: s[::-1]), "reversed"),
    "mean": (afterwards(np.mean), "averaged"),
    "in place": (in_place, "input-changed"),
    "rank of a pixel": (lambda s, x, h, r, c: [float(s(torch.where(r[0, 0] < n, h, x))) for n in c], "unknown"),
    "counts sorted in place": (lambda s, x, h, r, c: [c.append(0), *one_by_one(s, x, h, r, c[:-1])][1:],
                               "list-changed"),
    "nothing": (lambda *args: None, "returns-none"),
}  # fmt: skip
