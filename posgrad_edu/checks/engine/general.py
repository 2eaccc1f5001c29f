"""Mistakes that any task can have, in words."""

from __future__ import annotations

from posgrad_edu.checks.engine.task import Mistake, Task

_UNCHANGED = "The network that you are given is left as it was: work on a copy, or undo it in a finally block."

_WORDS = {  # by a mistake's key: what is said of it, and a hint
    "not-callable": ("hand over the function itself", "Give its name without brackets: check_...(my_function)."),
    "timeout": ("your function was stopped", "Does a loop never end?"),
    # What a function leaves behind.
    "hooks-left": (
        "your hooks are still on the network",
        "Keep what register_..._hook returns, and call its remove() in a finally block.",
    ),
    "mode-changed": ("you switched between training and evaluation mode", _UNCHANGED),
    "parameters-changed": ("you changed the network's weights", "Work on copy.deepcopy(net)."),
    "buffers-changed": (
        "you changed the network's running statistics",
        "In training mode a forward pass updates BatchNorm: leave the network in evaluation mode.",
    ),
    "requires-grad-changed": ("you left requires_grad of the network's weights changed", _UNCHANGED),
    "settings-changed": ("you left settings of the network's modules changed, such as inplace", _UNCHANGED),
    "network-moved": ("you moved the network to another type of numbers or device", "Work on copy.deepcopy(net)."),
    "global-hooks-left": (
        "you left a hook on all modules there are",
        "Keep what register_module_..._hook returns, and call its remove() in a finally block. It is off now.",
    ),
    "list-changed": (
        "you changed a list that you were given",
        "Its sort(), pop(), append() and the like work in place: take list(...) or sorted(...) of it first.",
    ),
    "network-changed": ("you replaced parts of the network that you were given", _UNCHANGED),
    "torch-changed": (
        "a function of torch itself is still replaced by yours",
        "Put it back in a finally block. It is put back now.",
    ),
    "input-changed": (
        "you changed a tensor that you were given",
        "Operations such as clamp_() and += work in place: write clamp(), or clone() first.",
    ),
    "not-detached": ("the values are right, but they still hold the whole graph in memory", "Return result.detach()."),
    "accumulates": (
        "called twice with the same input, your function doubles its answer",
        "backward() adds to .grad: start from x.detach().clone().requires_grad_(), or use torch.autograd.grad.",
    ),
    "not-repeatable": (
        "called twice with the same input, your function gives two answers",
        "Something random or something kept from the last call is in it.",
    ),
    # What a result looks like.
    "wrong-shape": ("your result has another shape", "Check which axes you add up, and which are kept."),
    "wrong-count": ("your list has another length", "Count what belongs to it."),
    "not-finite": (
        "your result holds nan or inf",
        "You divide by zero, or a nan gets through: it equals nothing, and counts as true.",
    ),
    "constant": (
        "your answer is the same whatever the input",
        "Use the arguments, not variables of the notebook that happen to have other names.",
    ),
    "argument-changed": (
        "your answer is the right one with another argument",
        "Take each argument as it comes; what the equation does to it, and no more.",
    ),
    "argument-returned": ("you returned an argument as it came", "Return what you make of it."),
    "all-zero": ("your result is zero everywhere", "Which factor is zero, and why?"),
    "wrong-sign": ("the sign of your result is reversed", "Look for a minus, or a difference the wrong way round."),
    "relu-on-result": (
        "you dropped the negative values of the finished result",
        "A last ReLU is another operation than handling the gradients: evidence against should stay visible.",
    ),
    "absolute-result": ("you took the absolute value of the finished result", "The result keeps its sign."),
    "normalized": (
        "you normalized the result",
        "Return raw values: scaling belongs to drawing, and can hide what two maps have apart.",
    ),
    "wrong-factor": (
        "your result is right but for a constant factor",
        "A mean where a sum belongs, or a stray number?",
    ),
    "added": ("your result is right but for one number that is added to all values", "Where is it added?"),
    "reordered": (
        "the values are right, but in another order",
        "The first comes first: look for a flip, a sort, a roll or a list read from its end.",
    ),
    "mirrored": ("your result is mirrored", "Look for a flip, or an index that counts from the end."),
    "rounded": (
        "your values are nearly right",
        "Look for a rounding, half precision, or a small number that is added where none belongs.",
    ),
    "batch-mixed": (
        "you mixed the photos of the batch",
        "The first axis counts photos: nothing is added or averaged over it.",
    ),
    "first-photo-only": ("only the first photo is right", "Look for an index [0] that belongs to each photo."),
    "channels-kept": ("you kept the colour channels", "Add them up: the result has one value a position."),
    "squeezed": (
        "an axis of length 1 has gone",
        "squeeze() without a number also removes a batch of one photo: name the axis.",
    ),
    "transposed": ("rows and columns are swapped", "Height comes before width."),
    "remembers": (
        "the first try was right, the others weren't",
        "Something of an earlier call is still there: a global list, or a default argument that is a list.",
    ),
}
GENERAL = {key: Mistake(key, *words) for key, words in _WORDS.items()}


def named(task: Task, key: str) -> Mistake:
    """Return the general mistake of a key, in the task's own words where it has some.

    The words beside a wrong implementation say what that one does, and no more: they aren't meant.
    """
    rows = [mistake for mistake in task.mistakes if mistake.key == key]
    own = next((mistake for mistake in rows if not mistake.wrong and mistake.pattern is None), None)
    return own or GENERAL.get(key) or rows[0]
