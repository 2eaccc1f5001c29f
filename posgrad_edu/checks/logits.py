"""What a logit means: one vector added to all classes' weights, and the seed of a contrast."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.checks.engine.check import checker
from posgrad_edu.checks.engine.forms import Unfit, a, not_none
from posgrad_edu.checks.engine.given import BATCHES, network
from posgrad_edu.checks.engine.mutations import then
from posgrad_edu.checks.engine.task import Args, Function, Mistake, Task

# --- The shift of a head ---

WIDTH = 10  # of the last layer: as many inputs as classes, so that swapped axes run, and can be told
PICTURES = torch.linspace(0, 50, 16 * 3 * 8 * 6).reshape(16, 3, 8, 6).cos()  # what returned networks are shown


def _classifier(n: int) -> Args:
    """A network of ten classes, its last layer's name, and a vector; in the last try that layer lies in a part."""
    net = network(batchnorm=n == 2, inplace=n == 1, classes=WIDTH)
    if n == 3:
        net = nn.Sequential(OrderedDict(body=net[:-1], head=nn.Sequential(OrderedDict(fc=net[-1])))).eval()
    return net, "head.fc" if n == 3 else "fc2", torch.randn(WIDTH)


def logits_of(answer: Any) -> list[Tensor]:
    """The logits (16, classes) of a network that was returned."""
    not_none(answer, "a network")
    if not isinstance(answer, nn.Module):
        kind = a(type(answer).__name__)
        raise Unfit("wrong-type", f"your function returned {kind} instead of a network", "Return the changed copy.")
    if isinstance(answer, nn.Linear):
        words = "you returned a layer alone instead of the whole network"
        raise Unfit("broken-network", words, "Change the layer within the copy, and return the copy.")
    parameter = next(answer.parameters(), PICTURES)
    try:
        with torch.no_grad():
            found = answer(PICTURES.to(parameter.dtype))
    except Exception as error:  # whatever a learner's network does
        words = f"the network that you returned doesn't run: {type(error).__name__}, {error}"
        hint = "What shape has the last layer's weight, and what do you put there?"
        raise Unfit("broken-network", words, hint) from None
    if not isinstance(found, Tensor) or found.shape != (len(PICTURES), WIDTH):
        words = "the network that you returned doesn't give (N, classes)"
        raise Unfit("broken-network", words, "Return the whole network, not its last layer alone.")
    return [found]


Change = Callable[[Tensor, Tensor], Tensor]  # a parameter, v -> another parameter


def _as_it_is(parameter: Tensor, v: Tensor) -> Tensor:
    return parameter


@torch.no_grad()
def _shifted(net: nn.Module, layer: str, v: Tensor, weight: Change = torch.add, bias: Change = _as_it_is) -> nn.Module:
    """Return a copy whose last layer has other weights and biases."""
    other = copy.deepcopy(net)
    head = other.get_submodule(layer)
    for name, change in (("weight", weight), ("bias", bias)):
        parameter = head.get_parameter(name)
        parameter.copy_(change(parameter.clone(), v))
    return other


def _of_one_class(place: int, weight: Tensor, v: Tensor) -> Tensor:
    weight[place] += v
    return weight


def _weights(change: Change) -> Function:
    return partial(_shifted, weight=change)


def _biases(change: Change) -> Function:
    return partial(_shifted, weight=_as_it_is, bias=change)


_ROWS = "weight is (classes, width): each row is a class, and v, with one value for each input, is added to every row."
_PLAIN = "Add v as it is, once: weight + v."
_KEPT = "The weights keep what they have."
_BIAS = "The bias stays as it is. A number added to it does change all logits alike, but the same for each photo."
SHIFT_HEAD = Task(
    name="shift of a head",
    signature="shift_head(net, layer, v)",
    returns="a copy of the network, in which v is added to the last layer's weights of every class",
    about="""
net: a classifier in evaluation mode that ends with a linear layer; it is left as it was. layer: that layer's name, as
in ``net.get_submodule(layer)``. v: (width,), one value for each input of the layer. The check shows photos to the
network that you return, and compares its logits.
""",
    lesson=4,
    make=_classifier,
    right=_shifted,
    form=logits_of,
    rounding=1e-6,
    hint="Copy the network, and add v to each row of the copy's last weight.",
    mistakes=[
        Mistake("not-shifted", "you returned a copy that has the weights it had", _PLAIN),
        _weights(_as_it_is),
        Mistake("wrong-axis", "you added v along the classes instead of the inputs", _ROWS),
        _weights(lambda weight, v: weight + v[:, None]),
        Mistake("one-class", "you added v to the weights of the first, or last, class alone", _ROWS),
        *(_weights(partial(_of_one_class, place)) for place in (0, -1)),
        Mistake("bias-shifted", "you added v to the bias instead of the weights", _BIAS),
        _biases(torch.add),
        Mistake("bias-shifted", "you added the sum, or the mean, of v to the bias instead of v to the weights", _BIAS),
        _biases(lambda bias, v: bias + v.sum()),
        _biases(lambda bias, v: bias + v.mean()),
        Mistake("bias-shifted", "you added v to the bias as well as to the weights", _BIAS),
        partial(_shifted, bias=torch.add),
        Mistake("bias-lost", "the last layer's bias is gone in your copy", _BIAS),
        partial(_shifted, bias=lambda bias, v: torch.zeros_like(bias)),
        Mistake("replaced", "you put v in the place of the weights", _PLAIN),
        _weights(lambda weight, v: v.expand_as(weight)),
        Mistake("multiplied", "you multiplied the weights by v", _PLAIN),
        _weights(torch.mul),
        _weights(lambda weight, v: weight * (1 + v)),
        Mistake("subtracted", "you took v away from the weights", _PLAIN),
        _weights(torch.sub),
        Mistake("added-twice", "you added v twice", _PLAIN),
        _weights(lambda weight, v: weight + 2 * v),
        Mistake("one-number", "you added one number, the mean or the sum of v, to all weights", _PLAIN),
        _weights(lambda weight, v: weight + v.mean()),
        _weights(lambda weight, v: weight + v.sum()),
        Mistake("normalized", "you gave v another length before you added it", _PLAIN),
        _weights(lambda weight, v: weight + v / v.norm()),
        _weights(lambda weight, v: weight + v / v.abs().max()),
        Mistake("own-scale", "you added v times the weights' own sizes", _PLAIN),
        _weights(lambda weight, v: weight + v * weight.abs()),
        _weights(lambda weight, v: weight + v * weight.amin(0).abs()),
        Mistake("centred", "you took the mean of all classes' weights away as well", _KEPT),
        _weights(lambda weight, v: weight - weight.mean(0) + v),
        Mistake("centred", "you took the mean of all classes' weights away, and left out v", _PLAIN),
        _weights(lambda weight, v: weight - weight.mean(0)),
    ],
)
check_shift_head = checker(SHIFT_HEAD)


# --- The seed of a contrast ---

Against = str | int | None
PHOTOS_A_TRY = (*BATCHES, 3)  # in each of five tries
NUMBERS = (6, 6, 7, 5, 6)  # of classes


def _question(n: int) -> Args:
    """Logits (N, classes), classes (N,), and what they're held against: the mean, a class, the mean, nothing, class 0.

    The class in the second try is also the number of a photo, so that swapped axes run, and can be told.
    """
    photos, number = PHOTOS_A_TRY[n], NUMBERS[n]
    rest = int(torch.randint(1, 3, ()))
    one, other = [c for c in (torch.randperm(number - 2) + 1).tolist() if c != rest][:2]  # not the first or the last
    target = torch.tensor([one, other, *[one] * photos])[:photos]
    against: Against = ("mean", rest, "mean", None, 0)[n]
    return 3 * torch.randn(photos, number), target, against


def _one_hot(logits: Tensor, target: Tensor) -> Tensor:
    return F.one_hot(target, logits.shape[1]).to(logits)


def _all(logits: Tensor, target: Tensor) -> Tensor:
    """A one at the class of each photo, in every row."""
    return _one_hot(logits, target).amax(0).expand_as(logits)


Taken = Callable[[Tensor, Tensor], Tensor]  # logits (N, K), one-hot (N, K) -> what is taken from the one-hot


def _mean(logits: Tensor, own: Tensor) -> Tensor:
    return torch.full_like(own, 1 / own.shape[1])


def _class(logits: Tensor, own: Tensor, against: int) -> Tensor:
    return _one_hot(logits, torch.full((len(own),), against % own.shape[1]))  # -1 is the last


def _nothing(logits: Tensor, own: Tensor, against: int = 0) -> Tensor:
    return torch.zeros_like(own)


def _mean_logit(logits: Tensor, own: Tensor) -> Tensor:
    return logits.mean(1, keepdim=True).expand_as(own)


def _logit(logits: Tensor, own: Tensor, against: int) -> Tensor:
    return logits[:, [against]].expand_as(own)


def _photo_of_that_number(logits: Tensor, own: Tensor, against: int) -> Tensor:
    return (torch.arange(len(own)) == against).to(own)[:, None].expand_as(own)


def _seed(
    logits: Tensor,
    target: Tensor,
    against: Against,
    mean: Taken = _mean,
    other: Callable[..., Tensor] = _class,
    alone: Taken = _nothing,
) -> Tensor:
    """Return the one-hot of each photo's class, minus that of what it is held against."""
    own = _one_hot(logits, target)
    if against is None:
        return own - alone(logits, own)
    return own - (mean(logits, own) if against == "mean" else other(logits, own, against))


def _with(mean: Taken) -> Function:
    return partial(_seed, mean=mean)


def _value(logits: Tensor, target: Tensor, against: Against) -> Tensor:
    """The contrast itself (N,)."""
    return (_seed(logits, target, against) * logits).sum(1)


def _every_contrast(logits: Tensor, target: Tensor, against: Against) -> Tensor:
    """The contrasts of all classes, whichever is asked about."""
    if against is None:
        return logits
    return logits - (logits.mean(1, keepdim=True) if against == "mean" else logits[:, [int(against)]])


_PLACES = "A seed says how often each logit counts: 1 at the class, minus 1/K at each of the K classes for their mean."
_ALL = "The mean is over all K classes, the one asked about among them: it keeps 1 - 1/K."
_OWN_CLASS = "Each photo has a class of its own: 1 at [n, target[n]]."
_NUMBERS = "The seed holds how often each logit counts, whatever the logits' values are."
_COLUMN = "s[d] is all classes of one photo; s[:, d] is one class of all photos."
_ZERO = "Class 0 counts as false, as None does: ask whether against is None."
_THREE = "None: the logit alone. 'mean': minus 1/K everywhere. A class: minus 1 at that class."
CONTRAST_SEED = Task(
    name="contrast's seed",
    signature="contrast_seed(logits, target, against)",
    returns="the seed (N, K): how often each logit counts",
    about="""
logits: (N, K), of K classes. target: one class a photo, (N,). against: ``None`` for the logit alone, "mean" for the
logit minus the mean of all K logits, a class, a whole number that is no photo's target, for the logit minus that
class's logit. The contrast of photo n is the sum of seed[n] * logits[n]; the seed is what a backward pass begins with.
""",
    lesson=4,
    make=_question,
    right=_seed,
    tries=len(NUMBERS),
    hint="Write the contrast as a sum over all logits, and read off what each is multiplied by.",
    mistakes=[
        Mistake("no-contrast", "you hold the logit against nothing, whatever is asked", _THREE),
        partial(_seed, mean=_nothing, other=_nothing),
        Mistake("mean-missing", "against the mean you return the seed of the logit alone", _PLACES),
        _with(_nothing),
        Mistake("class-missing", "against a class you return the seed of the logit alone", _THREE),
        partial(_seed, other=_nothing),
        Mistake("class-0", "against class 0 you return the seed of the logit alone", _ZERO),
        partial(_seed, other=lambda logits, own, against: _class(logits, own, against) * (against != 0)),
        Mistake("always-mean", "you hold the logit against the mean, whatever is asked", _THREE),
        partial(_seed, other=lambda logits, own, against: _mean(logits, own), alone=_mean),
        Mistake("always-mean", "you hold the logit against the mean where it should stand alone", _THREE),
        partial(_seed, alone=_mean),
        Mistake("others-only", "your mean is over the other classes, without the one asked about", _ALL),
        _with(lambda logits, own: (1 - own) / (own.shape[1] - 1)),
        Mistake("others-only", "you take 1/K from the other classes only", _ALL),
        _with(lambda logits, own: (1 - own) / own.shape[1]),
        Mistake("sum-for-mean", "you take away all logits instead of their mean", _PLACES),
        _with(lambda logits, own: torch.ones_like(own)),
        Mistake("sum-for-mean", "you take away all other logits instead of the mean", _PLACES),
        _with(lambda logits, own: 1 - own),
        Mistake("photos-counted", "you divided by the number of photos instead of the number of classes", _PLACES),
        _with(lambda logits, own: torch.full_like(own, 1 / len(own))),
        Mistake("wrong-number", "you divided by one less, or one more, than there are classes", _PLACES),
        _with(lambda logits, own: torch.full_like(own, 1 / (own.shape[1] - 1))),
        _with(lambda logits, own: torch.full_like(own, 1 / (own.shape[1] + 1))),
        Mistake("wrong-number", "you divided by 1000, however many classes there are", _PLACES),
        _with(lambda logits, own: torch.full_like(own, 1 / 1000)),
        Mistake("batch-mixed", "your mean is over the photos instead of the classes", _PLACES),
        _with(lambda logits, own: own.mean(0, keepdim=True).expand_as(own)),
        Mistake("softmax", "you took the probabilities away: that is the seed of the log-probability", _NUMBERS),
        _with(lambda logits, own: logits.softmax(1)),
        Mistake("values-taken", "you took the mean of the logits' values from the seed", _NUMBERS),
        _with(_mean_logit),
        Mistake("values-taken", "you took the other class's logit from the seed instead of 1", _NUMBERS),
        partial(_seed, other=lambda logits, own, against: _class(logits, own, against) * logits),
        partial(_seed, other=_logit),
        Mistake("values-taken", "you took the value of what it is held against from the whole seed", _NUMBERS),
        partial(_seed, mean=_mean_logit, other=_logit),
        Mistake("added", "you added what should be taken away", _PLACES),
        partial(
            _seed,
            mean=lambda logits, own: -_mean(logits, own),
            other=lambda logits, own, against: -_class(logits, own, against),
        ),
        Mistake("turned-round", "you took the class from what it is held against, the wrong way round", _PLACES),
        partial(
            _seed,
            mean=lambda logits, own: 2 * own - _mean(logits, own),
            other=lambda logits, own, against: 2 * own - _class(logits, own, against),
        ),
        Mistake("wrong-axis", "you took 1 away from all classes of one photo, that of the class's number", _COLUMN),
        partial(_seed, other=_photo_of_that_number),
        Mistake("neighbour", "you took the class beside the one that it's held against", "Classes count from 0."),
        partial(_seed, other=lambda logits, own, against: _class(logits, own, against - 1)),
        partial(_seed, other=lambda logits, own, against: _class(logits, own, against + 1)),
        Mistake("most-likely", "you asked about the most likely class instead of target", _OWN_CLASS),
        lambda logits, target, against: _seed(logits, logits.argmax(1), against),
        Mistake("first-photo-only", "you asked all photos about the class of the first one", _OWN_CLASS),
        lambda logits, target, against: _seed(logits, target[:1].expand_as(target), against),
        Mistake("all-classes-asked", "each photo's seed holds the classes of all photos", _OWN_CLASS),
        lambda logits, target, against: (
            _seed(logits, target, against) - _one_hot(logits, target) + _all(logits, target)
        ),
        Mistake("value", "you returned the contrast itself, one number a photo, instead of its seed", _NUMBERS),
        _value,
        then(_value, lambda value: value[:, None]),
        Mistake("seed-times-logits", "you multiplied the seed by the logits", _NUMBERS),
        lambda logits, target, against: _seed(logits, target, against) * logits,
        Mistake("transposed", "your seed is (K, N)", "One row a photo: (N, K)."),
        Mistake("every-contrast", "you returned the contrast of every class instead of a seed", _NUMBERS),
        _every_contrast,
    ],
)

check_contrast_seed = checker(CONTRAST_SEED)
