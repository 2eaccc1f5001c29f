"""summary(correlations)"""

import math
import statistics

import numpy as np
import pandas as pd
import torch


def by_loop(correlations):
    total, ranked, degenerate = 0.0, 0, 0
    for rho in correlations:
        if rho != rho:
            degenerate += 1
        else:
            total, ranked = total + rho, ranked + 1
    return (total / ranked if ranked else float("nan")), degenerate


def with_pandas(correlations):
    column = pd.Series(correlations, dtype=float)
    return column.mean(), column.isna().sum()


def with_tensors(correlations):
    rho = torch.tensor(correlations)
    return torch.stack([rho.nanmean(), rho.isnan().sum()])


def with_numpy(correlations):
    rho = np.array(correlations)
    return [np.nanmean(rho), np.count_nonzero(np.isnan(rho))]


def in_range(correlations):
    good = [c for c in correlations if -1 <= c <= 1]
    return math.nan if not good else statistics.fmean(good), len(correlations) - len(good)


def good_ones(correlations):
    return [c for c in correlations if not np.isnan(c)]


def compares_with_nan(correlations):
    kept = [c for c in correlations if c != float("nan")]
    return np.mean(kept), correlations.count(float("inf"))


def if_true(correlations):
    kept = np.array([c for c in np.nan_to_num(correlations) if c])
    return (kept.mean() if len(kept) else math.nan), len(correlations) - len(kept)


def zero_if_none(correlations):
    rho = good_ones(correlations)
    return (np.mean(rho) if rho else 0.0), len(correlations) - len(rho)


def none_if_none(correlations):
    rho = good_ones(correlations)
    if not rho:
        return None
    return np.mean(rho), len(correlations) - len(rho)


def divides(correlations):
    rho = good_ones(correlations)
    return sum(rho) / len(rho), len(correlations) - len(rho)


def over_all(correlations):
    rho = good_ones(correlations)
    return sum(rho) / len(correlations), len(correlations) - len(rho)


def changed(correlations, mean=np.mean, count=lambda all, rho: len(all) - len(rho)):
    rho = good_ones(correlations)
    return (mean(rho) if rho else math.nan), count(correlations, rho)


RIGHT = {
    "loop": by_loop,
    "pandas": with_pandas,
    "one tensor, float32": with_tensors,
    "nanmean, a list": with_numpy,
    "those in range": in_range,
}
WRONG = {
    "nan_to_num": (lambda c: (np.nan_to_num(c).mean(), int(np.isnan(c).sum())), "zero-filled"),
    "nan_to_num, nothing counted": (lambda c: (torch.tensor(c).nan_to_num().mean(), 0), "zero-filled"),
    "divided by all": (over_all, "zero-filled"),
    "filled with 1": (lambda c: (pd.Series(c).fillna(1).mean(), pd.Series(c).isna().sum()), "filled"),
    "compared with nan": (compares_with_nan, "nan-mean"),
    "plain mean": (lambda c: (torch.tensor(c).mean(), torch.tensor(c).isnan().sum()), "nan-mean"),
    "pandas' mean alone": (lambda c: pd.Series(c).mean(), "no-count"),
    "pandas' mean, none counted": (lambda c: (pd.Series(c).mean(), 0), "silently-dropped"),
    "count()": (lambda c: (pd.Series(c).mean(), pd.Series(c).count()), "counts-ranked"),
    "len": (lambda c: (torch.tensor(c).nanmean(), len(c)), "counts-all"),
    "any": (lambda c: (np.nanmean(c), np.isnan(c).any()), "only-whether"),
    "share": (lambda c: (np.nanmean(c), np.isnan(c).mean()), "share"),
    "if c": (if_true, "zero-is-degenerate"),
    "count first": (lambda c: by_loop(c)[::-1], "swapped"),
    "magnitudes": (lambda c: changed(c, lambda r: np.abs(r).mean()), "absolute-values"),
    "absolute": (lambda c: changed(c, lambda r: abs(np.mean(r))), "absolute-result"),
    "positive only": (lambda c: changed(c, lambda r: np.mean([x for x in r if x > 0])), "negative-dropped"),
    "median": (lambda c: changed(c, statistics.median), "median"),
    "sum": (lambda c: changed(c, math.fsum), "sum"),
    "distance": (lambda c: changed(c, lambda r: 1 - np.mean(r)), "distance"),
    "0 if none": (zero_if_none, "nothing-ranked"),
    "None if none": (none_if_none, "returns-none"),
    "divides by none": (divides, "division-by-zero"),
    "a list of good ones": (good_ones, "wrong-count"),
    "a dictionary": (lambda c: dict(zip(("mean", "degenerate"), by_loop(c), strict=True)), "wrong-type"),
}
