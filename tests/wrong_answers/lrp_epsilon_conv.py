"""lrp_epsilon_conv(a, w, b, relevance, epsilon)"""

import torch.nn.functional as F

from wrong_answers.lrp_epsilon import by_gradient, four_steps, steady


def conv(a, w, b):
    return F.conv2d(a, w, b, padding=1)


def autograd(a, w, b, R, e):
    return four_steps(a, w, b, R, e, forward=conv)


def transposed(a, w, b, R, e):
    return a * F.conv_transpose2d(R / steady(conv(a, w, b), e), w, padding=1)


def flipped(a, w, b, R, e):
    return a * F.conv2d(R / steady(conv(a, w, b), e), w.flip(-1, -2).transpose(0, 1), padding=1)


def unfolded(a, w, b, R, e):
    height, width = a.shape[2:]
    patches = F.unfold(a.double(), 3, padding=1)
    kernel = w.double().flatten(1)
    z = kernel @ patches + b.double()[:, None]
    c = kernel.T @ (R.double().flatten(2) / steady(z, e))
    return a * F.fold(c, (height, width), 3, padding=1)


def back(kernel, way=F.conv_transpose2d, **how):
    return lambda a, w, b, R, e: a * way(R / steady(conv(a, w, b), e), kernel(w), padding=1, **how)


def same(w):
    return w


RIGHT = {"autograd": autograd, "transposed": transposed, "flipped": flipped, "unfolded, double": unfolded}
WRONG = {
    "forward again": (back(same, F.conv2d), "kernel-not-transposed"),
    "channels swapped": (back(lambda w: w.transpose(0, 1), F.conv2d), "kernel-not-transposed"),
    "flipped": (back(lambda w: w.flip(2, 3), F.conv2d), "kernel-not-transposed"),
    "transposed twice": (back(lambda w: w.transpose(0, 1)), "kernel-not-transposed"),
    "rows for columns": (back(lambda w: w.mT), "kernel-not-transposed"),
    "no bias": (lambda a, w, b, R, e: transposed(a, w, None, R, e), "bias-missing"),
    "bias twice": (lambda a, w, b, R, e: back(same, bias=b)(a, w, b, R, e), "bias-on-the-way-back"),
    "plus epsilon": (lambda a, w, b, R, e: four_steps(a, w, b, R, e, conv, lambda z, e: z + e), "epsilon-sign"),
    "no epsilon": (lambda a, w, b, R, e: flipped(a, w, b, R, 0), "epsilon-missing"),
    "own epsilon": (lambda a, w, b, R, e: flipped(a, w, b, R, 1e-6), "epsilon-missing"),
    "quotient not detached": (by_gradient(conv), "quotient-not-detached"),
    "no input": (lambda a, w, b, R, e: transposed(a, w, b, R, e) / a, "input-missing"),
    "not divided": (lambda a, w, b, R, e: a * F.conv_transpose2d(R, w, padding=1), "not-divided"),
    "z+": (lambda a, w, b, R, e: transposed(a, w.relu(), b.relu(), R, e), "positive-only"),
    "no padding": (lambda a, w, b, R, e: a * F.conv_transpose2d(R / steady(F.conv2d(a, w, b), e), w), "shapes"),
    "normalized": (lambda *args: transposed(*args) / transposed(*args).sum((1, 2, 3), True), "normalized"),
}
