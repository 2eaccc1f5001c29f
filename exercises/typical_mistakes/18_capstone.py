"""Six answers to 18_capstone that are wrong in typical ways, by grade id; for the grading demonstration."""

ANSWERS = {
    # both networks are asked about one class, but about the one that the random network finds most likely
    "solution-1": """
def forgotten(box, net, x):
    numbers = []
    for copy in randomized_copies(net):
        target, _ = most_and_least(copy, x)
        numbers += alike(box(net, x, target), box(copy, x, target))
    return mean(numbers)
""",
    # no name of a known box
    "guess-2": 'guess = ["magnitude", "edges"]',
    # magnitudes of correlations hide reversed maps
    "solution-2": """
def evidence(box, net, x):
    most, least = most_and_least(net, x)
    maps, others = box(net, x, most), box(net, x, least)
    return {
        "class": mean([abs(value) for value in alike(maps, others)]),
        "forgotten": forgotten(box, net, x),
        "negative": float((maps < 0).float().mean()),
        "blank": 0,
        "equal": bool((maps == others).all()),
    }
""",
    # one comparison isn't enough
    "solution-3": """
def handles_positively(box, net, x):
    most, least = most_and_least(net, x)
    return mean(alike(box(net, x, most), box(net, x, least))) > 0.7
""",
    # handled after the average, and the same noise for all samples
    "solution-4": """
@dataclass(frozen=True)
class SmoothGrad(InputSpaceMethod):
    name: ClassVar[str] = "smoothgrad"
    published: ClassVar[Handling] = SIGNED
    samples: int = 4
    spread: float = 0.3
    seed: int = 0

    def maps(self, net, x, target):
        total = 0
        for _ in range(self.samples):
            dice = torch.Generator().manual_seed(self.seed)
            point = (x + self.spread * torch.randn(x.shape, generator=dice)).requires_grad_()
            total = total + input_gradients(forward(net, point, target), target, point)
        return self.reduced(self.handle(total / self.samples))
""",
    # measured on one photo; and the magnitude of a signed map taken for positive handling
    "solution-5": """
number = 31415
measured = evidence(black_box(number), net, x[:1])
verdict = True
""",
}
