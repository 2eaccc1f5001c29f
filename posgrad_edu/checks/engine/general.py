"""Mistakes that any task can have, in words."""

from __future__ import annotations

from posgrad_edu.checks.engine.task import Mistake, Task

_UNCHANGED = "The network that you are given is left as it was: work on a copy, or undo it in a finally block."

GENERAL: dict[str, Mistake] = {
    m.key: m
    for m in [
        Mistake(
            "not-callable", "hand over the function itself", "Give its name without brackets: check_...(my_function)."
        ),
        Mistake("timeout", "your function was stopped", "Does a loop never end?"),
        # What a function leaves behind.
        Mistake(
            "hooks-left",
            "your hooks are still on the network",
            "Keep what register_..._hook returns, and call its remove() in a finally block.",
        ),
        Mistake("mode-changed", "you switched between training and evaluation mode", _UNCHANGED),
        Mistake("parameters-changed", "you changed the network's weights", "Work on copy.deepcopy(net)."),
        Mistake(
            "buffers-changed",
            "you changed the network's running statistics",
            "In training mode a forward pass updates BatchNorm: leave the network in evaluation mode.",
        ),
        Mistake("requires-grad-changed", "you left requires_grad of the network's weights changed", _UNCHANGED),
        Mistake("settings-changed", "you left settings of the network's modules changed, such as inplace", _UNCHANGED),
        Mistake(
            "network-moved", "you moved the network to another type of numbers or device", "Work on copy.deepcopy(net)."
        ),
        Mistake(
            "global-hooks-left",
            "you left a hook on all modules there are",
            "Keep what register_module_..._hook returns, and call its remove() in a finally block. It is off now.",
        ),
        Mistake(
            "list-changed",
            "you changed a list that you were given",
            "Its sort(), pop(), append() and the like work in place: take list(...) or sorted(...) of it first.",
        ),
        Mistake("network-changed", "you replaced parts of the network that you were given", _UNCHANGED),
        Mistake(
            "torch-changed",
            "a function of torch itself is still replaced by yours",
            "Put it back in a finally block. It is put back now.",
        ),
        Mistake(
            "input-changed",
            "you changed a tensor that you were given",
            "Operations such as clamp_() and += work in place: write clamp(), or clone() first.",
        ),
        Mistake(
            "not-detached",
            "the values are right, but they still hold the whole graph in memory",
            "Return result.detach().",
        ),
        Mistake(
            "accumulates",
            "called twice with the same input, your function doubles its answer",
            "backward() adds to .grad: start from x.detach().clone().requires_grad_(), or use torch.autograd.grad.",
        ),
        Mistake(
            "not-repeatable",
            "called twice with the same input, your function gives two answers",
            "Something random or something kept from the last call is in it.",
        ),
        # What a result looks like.
        Mistake("wrong-shape", "your result has another shape", "Check which axes you add up, and which are kept."),
        Mistake("wrong-count", "your list has another length", "Count what belongs to it."),
        Mistake(
            "not-finite",
            "your result holds nan or inf",
            "You divide by zero, or a nan gets through: it equals nothing, and counts as true.",
        ),
        Mistake(
            "constant",
            "your answer is the same whatever the input",
            "Use the arguments, not variables of the notebook that happen to have other names.",
        ),
        Mistake(
            "argument-changed",
            "your answer is the right one with another argument",
            "Take each argument as it comes; what the equation does to it, and no more.",
        ),
        Mistake("argument-returned", "you returned an argument as it came", "Return what you make of it."),
        Mistake("all-zero", "your result is zero everywhere", "Which factor is zero, and why?"),
        Mistake(
            "wrong-sign",
            "the sign of your result is reversed",
            "Look for a minus, or a difference the wrong way round.",
        ),
        Mistake(
            "relu-on-result",
            "you dropped the negative values of the finished result",
            "A last ReLU is another operation than handling the gradients: evidence against should stay visible.",
        ),
        Mistake("absolute-result", "you took the absolute value of the finished result", "The result keeps its sign."),
        Mistake(
            "normalized",
            "you normalized the result",
            "Return raw values: scaling belongs to drawing, and can hide what two maps have apart.",
        ),
        Mistake(
            "wrong-factor",
            "your result is right but for a constant factor",
            "A mean where a sum belongs, or a stray number?",
        ),
        Mistake("added", "your result is right but for one number that is added to all values", "Where is it added?"),
        Mistake(
            "reordered",
            "the values are right, but in another order",
            "The first comes first: look for a flip, a sort, a roll or a list read from its end.",
        ),
        Mistake("mirrored", "your result is mirrored", "Look for a flip, or an index that counts from the end."),
        Mistake(
            "rounded",
            "your values are nearly right",
            "Look for a rounding, half precision, or a small number that is added where none belongs.",
        ),
        Mistake(
            "batch-mixed",
            "you mixed the photos of the batch",
            "The first axis counts photos: nothing is added or averaged over it.",
        ),
        Mistake(
            "first-photo-only", "only the first photo is right", "Look for an index [0] that belongs to each photo."
        ),
        Mistake("channels-kept", "you kept the colour channels", "Add them up: the result has one value a position."),
        Mistake(
            "squeezed",
            "an axis of length 1 has gone",
            "squeeze() without a number also removes a batch of one photo: name the axis.",
        ),
        Mistake("transposed", "rows and columns are swapped", "Height comes before width."),
        Mistake(
            "remembers",
            "the first try was right, the others weren't",
            "Something of an earlier call is still there: a global list, or a default argument that is a list.",
        ),
    ]
}


def named(task: Task, key: str) -> Mistake:
    """Return the general mistake of a key, in the task's own words where it has some.

    The words beside a wrong implementation say what that one does, and no more: they aren't meant.
    """
    rows = [mistake for mistake in task.mistakes if mistake.key == key]
    own = next((mistake for mistake in rows if not mistake.wrong and mistake.pattern is None), None)
    return own or GENERAL.get(key) or rows[0]
