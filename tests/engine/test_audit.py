"""What no map can explain is refused, whatever the method; what can be explained costs the audit once."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

import networks as nets
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.audit import audit, once, structure, versions
from posgrad_edu.engine.layers import watch
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import Handling

each_method = pytest.mark.parametrize("method", pg.METHODS)


class Wrapped(nn.Module):
    """A network with a function around it."""

    def __init__(self, function: Callable[[Tensor, nn.Module], Tensor], net: nn.Module) -> None:
        super().__init__()
        self.function, self.net = function, net

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.net)


def wrapped(function: Callable[[Tensor, nn.Module], Tensor]) -> tuple[nn.Module, Tensor, Tensor]:
    net, x, target = nets.make("plain")
    return Wrapped(function, net).eval(), x, target


@each_method
def test_an_active_dropout_is_refused(method: str) -> None:
    net, x, target = wrapped(lambda x, net: net(F.dropout(x)))
    with pytest.raises(ValueError, match=r"two answers, or depends on the other photos.*dropout"):
        pg.explain(net, x, target, method)
    with pytest.raises(ValueError, match=r"two answers\. Look for a dropout"):
        pg.explain(net, x[:1], target[:1], method)


@each_method
@pytest.mark.parametrize(
    "meet",
    [
        lambda x, net: net(x - x.mean(0)),
        lambda x, net: net(x) - net(x).mean(0),
        lambda x, net: net(x / x.std(0).detach()),
        lambda x, net: net(x).flip(0),
    ],
    ids=["mean", "logits", "detached", "order"],
)
def test_photos_that_meet_are_refused(method: str, meet: Callable[[Tensor, nn.Module], Tensor]) -> None:
    net, x, target = wrapped(meet)
    with pytest.raises((ValueError, UnsupportedOperation), match="batch"):
        pg.explain(net, x, target, method)


@each_method
def test_a_backward_hook_that_was_left_is_refused(method: str) -> None:
    net, x, target = nets.make("plain")
    handle = net[0].register_full_backward_hook(lambda module, given, arrived: (2 * given[0],))
    with pytest.raises(UnsupportedOperation, match=r"backward hook is on the layer .* Remove it"):
        pg.explain(net, x, target, method)
    handle.remove()
    pg.explain(net, x, target, method)


def test_logits_that_are_not_finite_are_refused() -> None:
    net, x, target = wrapped(lambda x, net: net(x) / 0)
    with pytest.raises(ValueError, match="not finite"):
        pg.explain(net, x, target)


@pytest.mark.parametrize("method", ["gradient", "input-x-gradient", "gradcam"])
def test_a_map_that_is_not_finite_is_refused(method: str) -> None:
    net, x, target = wrapped(lambda x, net: net(x.abs()) + (x - x).sum((1, 2, 3)).sqrt()[:, None])
    if method == "gradcam":
        net, x, target = wrapped(lambda x, net: net(x) + 0 * (net[0](x) - net[0](x)).sum((1, 2, 3)).sqrt()[:, None])
    with pytest.raises((ValueError, UnsupportedOperation)):
        pg.explain(net, x, target, method)


def test_an_infinite_derivative_behind_a_closed_gate_does_no_harm() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).double().eval()
    rooted = Wrapped(lambda x, net: net[2:](net[:2](x).add(1e-300).sqrt()), net).eval()
    maps = pg.explain(rooted, nets.photos(8), 1, "gradient")
    assert maps.isfinite().all()


def test_another_precision_than_the_networks_is_refused_in_words() -> None:
    net, x, target = nets.make("plain")
    with pytest.raises(ValueError, match=r"x holds torch.float32, the network torch.float64"):
        pg.explain(net, x.float(), target)


def test_the_audit_is_made_once_and_again_when_the_network_changes() -> None:
    net, x, _ = nets.make("plain")
    counting = nets.Counting(net).eval()
    audit(counting, x)
    first = counting.calls
    audit(counting, x)
    assert counting.calls == first == 2
    audit(counting, x[:1])
    assert counting.calls == 4
    counting.net.append(nn.Identity().eval())
    audit(counting, x)
    assert counting.calls == 6


@each_method
def test_other_threads_are_seen_or_refused(method: str) -> None:
    def elsewhere(x: Tensor, net: nn.Module) -> Tensor:
        found: list[Tensor] = []
        grad = torch.is_grad_enabled()

        def work() -> None:
            with torch.set_grad_enabled(grad):
                found.append(net(x))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return found[0]

    net, x, target = wrapped(elsewhere)
    try:
        maps = pg.explain(net, x, target, method)
    except (ValueError, UnsupportedOperation):
        return
    torch.testing.assert_close(maps, pg.explain(net.net, x, target, method))


@pytest.mark.parametrize("method", ["deconvnet", "guided-backprop", "rectgrad", "gradcam", "fullgrad"])
def test_a_handling_that_works_in_place_does_no_harm(method: str) -> None:
    net, x, target = nets.make("plain")
    mine = Handling("mine", lambda information: information.clamp_(min=0))
    before = copy.deepcopy(net.state_dict()), x.clone()
    together = pg.explain(net, x, target, {"mine": pg.METHODS[method](mine), "signed": pg.METHODS[method]("signed")})
    assert torch.equal(together["mine"], pg.explain(net, x, target, method, "positive"))
    assert torch.equal(together["signed"], pg.explain(net, x, target, method, "signed"))
    assert torch.equal(x, before[1])
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), before[0].values(), strict=True))


CONSTANTS: dict[str, Callable[[Tensor, nn.Module], Tensor]] = {
    "joined": lambda x, net: net(torch.cat([x[:, :2], torch.ones_like(x[:, :1])], 1)),
    "padded": lambda x, net: net(F.pad(x[..., 1:, :], (0, 0, 1, 0), value=0.7)),
    "filled": lambda x, net: net(x.masked_fill(torch.arange(x.shape[-1]) < 2, 0.5)),
    "set": lambda x, net: net(torch.stack([x[:, 0], x[:, 1], torch.full_like(x[:, 2], 0.3)], 1)),
    "fused": lambda x, net: net(torch.addcmul(torch.ones_like(x), x, torch.full_like(x, 2.0))),
    "norm": lambda x, net: net(torch.lerp(x, torch.ones_like(x), 0.25)),
    "softmax": lambda x, net: net(x).softmax(1),
}


@pytest.mark.parametrize("constant", CONSTANTS)
def test_constants_that_enter_in_another_way_are_a_term_or_refused(constant: str) -> None:
    from posgrad_edu.methods.fullgrad import fullgrad_terms

    net, x, target = wrapped(CONSTANTS[constant])
    try:
        terms = fullgrad_terms(net, x, target)
    except UnsupportedOperation:
        pass
    else:
        total = sum(term.flatten(1).sum(1) for term in terms)
        torch.testing.assert_close(total, net(x).gather(1, target[:, None])[:, 0].detach())
    with pytest.raises(UnsupportedOperation):
        pg.explain(net, x, target, "lrp")


def test_a_constant_that_a_step_of_training_brings_is_refused() -> None:
    """Beside the biases there is a constant, which was zero when the network was first looked at."""

    class Joins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head, self.constant = (
                nn.Conv2d(4, 6, 3),
                nn.Linear(6, 5),
                nn.Parameter(torch.zeros(1, 1, 8, 8)),
            )

        def forward(self, x: Tensor) -> Tensor:
            joined = torch.cat([x, self.constant.expand(len(x), -1, -1, -1)], 1)
            return self.head(self.conv(joined).relu().mean((2, 3)))

    net, x = Joins().eval(), torch.rand(2, 3, 8, 8)
    pg.explain(net, x, 0, "fullgrad")
    (-net.constant.sum()).backward()  # so that the step makes it 1, whatever the weights are
    torch.optim.SGD(net.parameters(), lr=1.0).step()
    with pytest.raises(UnsupportedOperation, match="fullgrad found a constant"):
        pg.explain(net, x, 0, "fullgrad")


# --- What counts as a change of the network, and what the audit says ---

CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "another layer": lambda net: net.append(nn.Identity().eval()),
    "a layer in another's place": lambda net: net.__setitem__(0, copy.deepcopy(net[0])),
    "no layer": lambda net: net.__setattr__("1", None),
    "a layer inside": lambda net: net[3].add_module("more", nn.ReLU().eval()),
    "another class": lambda net: net[1].__setattr__("__class__", nn.ReLU6),
    "a forward of its own": lambda net: net[0].__setattr__("forward", torch.neg),
    "another function": lambda net: net[1].__setattr__("function", F.gelu),
    "a forward hook": lambda net: net[0].register_forward_hook(lambda *_: None),
    "a hook before the forward pass": lambda net: net[0].register_forward_pre_hook(lambda *_: None),
    "a hook in another's place": lambda net: (net[3]._forward_hooks.clear(), net[3].register_forward_hook(print)),
    "a backward hook": lambda net: net[0].register_full_backward_hook(lambda *_: None),
    "a hook before the backward pass": lambda net: net[0].register_full_backward_pre_hook(lambda *_: None),
    "a mode": lambda net: net[1].train(),
    "a word": lambda net: net[0].__setattr__("padding_mode", "reflect"),
}
NO_CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a count": lambda net: net[0].__setattr__("runs", 3),
    "a weight": lambda net: net[0].weight.data.add_(1),
    "nothing": lambda net: None,
}


@pytest.mark.parametrize("name", [*CHANGES, *NO_CHANGES])
def test_what_changes_a_network(name: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Sequential(nn.Linear(144, 2))).eval()
    net[0].runs, net[1].function = 2, F.relu
    net[3].register_forward_hook(lambda *_: None)
    before = structure(net)
    assert structure(net) == before
    (CHANGES | NO_CHANGES)[name](net)
    assert (structure(net) != before) is (name in CHANGES)


def test_hooks_that_last_for_a_forward_pass_are_no_change() -> None:
    """Another thread may be making a CAM of the same network."""
    net, x, _ = nets.make("plain")
    before, counting = structure(net), nets.Counting(net).eval()
    audit(counting, x)
    with watch(net.modules(), lambda *_: None):
        assert structure(net) == before
        audit(counting, x)
    assert counting.calls == 2


def random_class(net: nn.Module) -> None:
    class Dropping(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return F.dropout(super().forward(input))

    net[0].__class__ = Dropping


RANDOM: dict[str, Callable[[nn.Module], object]] = {
    "hook before": lambda net: net[0].register_forward_pre_hook(lambda module, given: (F.dropout(given[0]),)),
    "forward": lambda net: net[1].__setattr__("forward", F.dropout),
    "class": random_class,
}


@pytest.mark.parametrize("name", RANDOM)
def test_a_random_part_that_comes_later_is_noticed(name: str) -> None:
    net, x, target = nets.make("plain")
    pg.explain(net, x, target, "gradient")
    RANDOM[name](net)
    with pytest.raises(ValueError, match="two answers"):
        pg.explain(net, x, target, "gradient")


def test_functions_that_come_one_after_another_are_told_apart_though_each_is_gone_before_the_next() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU()).eval()
    seen = []
    for factor in range(20):
        net[1].forward = lambda z, factor=factor: factor * z
        seen.append(structure(net))
        del net[1].forward
    assert all(one != other for n, one in enumerate(seen) for other in seen[:n])


@pytest.mark.parametrize("method", ["gradient", "gradcam", "fullgrad"])
def test_one_explanation_looks_once_whether_the_network_has_changed(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x, target = nets.make("plain")
    looks: list[nn.Module] = []
    monkeypatch.setattr("posgrad_edu.engine.audit.structure", lambda net: looks.append(net) or structure(net))
    pg.explain(net, x, target, method)
    assert looks == [net]


def test_a_scripted_network_has_a_structure_too() -> None:
    net = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval())
    assert structure(net) == structure(net)


def test_what_was_examined_is_remembered_by_who_asks_and_by_the_kind_of_photo() -> None:
    net, asked = nn.Linear(2, 2).eval(), []

    def examine(net: nn.Module, x: Tensor, *others: object) -> int:
        asked.append((tuple(x.shape), x.dtype, others))
        return len(asked)

    def another(net: nn.Module, x: Tensor) -> str:
        return "another"

    x = torch.zeros(1, 2)
    assert [once(examine, net, x, "a"), once(examine, net, x + 1, "b")] == [1, 1]
    assert once(another, net, x) == "another"
    assert [once(examine, net, x.double()), once(examine, net, torch.zeros(2, 2)), once(examine, net, x)] == [2, 3, 1]
    assert asked[0] == ((1, 2), torch.float32, ("a",))
    net.train()
    assert once(examine, net, x) == 4
    assert [once(examine, net, x, state=state) for state in (1, 1, 2)] == [5, 5, 6]


def test_versions_tell_what_writes_into_a_network() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = versions(net)
    assert versions(net) == before
    net.load_state_dict(net.state_dict())
    loaded = versions(net)
    net(torch.rand(3, 2))  # running statistics
    trained = versions(net)
    with torch.no_grad():
        net[0].bias.add_(1)
    assert len({before, loaded, trained, versions(net)}) == 4


def test_hooks_are_named_by_where_they_are() -> None:
    for pre in (False, True):
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).eval()
        for module, where in ((net[1], "the layer '1'"), (net, "the network")):
            register = module.register_full_backward_pre_hook if pre else module.register_full_backward_hook
            handle = register(lambda *_: None)
            with pytest.raises(UnsupportedOperation, match=f"^A backward hook is on {where}, and could"):
                audit(net, torch.rand(2, 3, 2, 2))
            handle.remove()
        audit(net, torch.rand(2, 3, 2, 2))


@pytest.mark.parametrize(
    ("photos", "words"), [(1, "gives two answers. Look"), (2, r"answers, or depends on .* batch\.")]
)
def test_two_answers_may_have_another_reason_where_there_are_several_photos(photos: int, words: str) -> None:
    drops = nn.Sequential(nn.Flatten(), Wrapped(lambda x, net: net(F.dropout(x)), nn.Linear(12, 2))).eval()
    with pytest.raises(ValueError, match=words):
        audit(drops, torch.rand(photos, 3, 2, 2))


def test_whole_numbers_as_logits_are_compared_exactly() -> None:
    counts = Wrapped(lambda x, net: (net(x) * 100).long(), nn.Sequential(nn.Flatten(), nn.Linear(12, 2))).eval()
    audit(counts, torch.rand(2, 3, 2, 2))
    answers = iter([5, 6])
    other = Wrapped(lambda x, net: torch.full((len(x), 2), next(answers)), nn.Identity()).eval()
    with pytest.raises(ValueError, match="two answers"):
        audit(other, torch.rand(1, 3, 2, 2))


def test_the_first_photo_alone_is_asked_about_twice() -> None:
    """The others are changed, so that a network that looks at its neighbours gives itself away."""
    seen: list[Tensor] = []

    def note(x: Tensor, net: nn.Module) -> Tensor:
        seen.append(x.detach())
        return net(x)

    net = Wrapped(note, nn.Sequential(nn.Flatten(), nn.Linear(12, 2))).eval()
    x = torch.rand(3, 3, 2, 2)
    audit(net, x)
    first, second = seen
    assert torch.equal(first, x)
    assert torch.equal(second[0], x[0])
    assert torch.equal(second[1:], 0.5 * x[1:].flip(-1))
