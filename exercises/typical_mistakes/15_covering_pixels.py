"""Five answers to 15_covering_pixels that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # only the patches of the last step are covered
    "solution-1": """
def deletion_curve(score, x, hidden, rank, counts):
    found, before = [], 0
    for n in counts:
        mask = (rank >= before) & (rank < n)
        found.append(float(score(torch.where(mask, hidden, x))))
        before = n
    return found
""",
    # the mean of all values
    "solution-2": """
def area(scores):
    s = torch.tensor(scores)
    if s[0] <= s[-1]:
        return float("nan")
    return float(((s - s[-1]) / (s[0] - s[-1])).mean())
""",
    # shuffles, sorts, and forgets which patch stood where
    "solution-3": """
def ranks(saliency, patch, seed=0):
    sums = F.avg_pool2d(saliency[None, None], patch)[0, 0]
    shuffled = torch.randperm(sums.numel(), generator=torch.Generator().manual_seed(seed))
    order = sums.flatten()[shuffled].argsort(descending=True, stable=True)
    rank = order.argsort().view_as(sums)
    return rank.repeat_interleave(patch, 0).repeat_interleave(patch, 1)
""",
    # a percentage
    "guess-4": 'guess = {"own area": 25, "advantage": 10}',
    # each map is scored by its own class: two questions
    "solution-4": """
def two_areas(x, hidden, target, other, explain):
    areas = []
    for classes in (target, other):
        found = []
        for n, saliency in enumerate(explain(x, classes)):
            score, photo = score_of(int(classes[n])), slice(n, n + 1)
            curve = deletion_curve(score, x[photo], hidden[photo], ranks(saliency, PATCH), COUNTS)
            found.append(area([float(s) for s in curve]))
        areas.append(found)
    return tuple(areas)
""",
}
