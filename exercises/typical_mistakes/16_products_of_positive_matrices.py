"""Five answers to 16_products_of_positive_matrices that are wrong in typical ways, by grade id."""

ANSWERS = {
    # the definition, rounded: nan for opposite vectors, 0 for tiny angles
    "solution-1": """
def angle(first, second):
    cosine = first @ second / (first.norm() * second.norm())
    return torch.rad2deg(torch.acos(cosine)).item()
""",
    # a clamped signal: neither the product of the kept parts, nor the kept part of the product
    "solution-2": """
def ratios(matrices, handling):
    P, found = torch.eye(len(matrices[0]), dtype=matrices[0].dtype), []
    for M in matrices:
        P = handling(M @ P)
        P = P / P.norm()
        values = torch.linalg.svdvals(P)
        found.append(float(values[1] / values[0]))
    return found
""",
    # never rescaled: a long chain overflows
    "solution-3": """
def angles_by_depth(matrices, first, second):
    angles = [angle(first, second)]
    for matrix in matrices:
        first = matrix @ first
        second = matrix @ second
        angles.append(angle(first, second))
    return angles
""",
    # no number of a ReLU
    "guess-4": 'guess = {"positive": 20, "absolute": -3}',
    # the first time above the line, though it falls back
    "solution-4": """
def cosines(x, first, second, handling):
    pairs = zip(*signals(x, [first, second], handling))
    return [float(F.cosine_similarity(one.flatten(), other.flatten(), dim=0)) for one, other in pairs]


def settled(values, line=0.9):
    for n, value in enumerate(values):
        if value > line:
            return n + 1
    return 0
""",
}
