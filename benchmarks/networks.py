"""Networks that the package's author didn't write: which methods explain them rightly, and which refuse, and why.

    python benchmarks/networks.py [NAME ...] [--jobs N]

Takes small networks of every family of torchvision and timm, with random weights, in float64 where they allow it. Each
method, signed and positive, explains two photos; the second photo's map is held against ``restatements.py``, made of
that photo alone. Without names all are tried, which takes a while, and docs/networks.md is written.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from restatements import SMOOTH, Seen, cam_map, fullgrad_map, lrp_map, relu_map, relu_rules
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.engine.cam_layer import last_spatial_layer
from posgrad_edu.engine.layers import POOLING_LIKE
from posgrad_edu.methods.fullgrad import fullgrad_terms

TABLE = Path(__file__).parents[1] / "docs" / "networks.md"
TORCHVISION = (
    "alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3:96 maxvit_t:224 "
    "mnasnet0_5 mnasnet1_0 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 "
    "resnet34 resnet50 resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 squeezenet1_0 squeezenet1_1 swin_t "
    "swin_v2_t vgg11 vgg11_bn vit_b_32:224 wide_resnet50_2"
)
TIMM = (
    "halonet26t:256 eca_botnext26ts_256:256 gernet_s repvgg_a0 test_byobnet cait_xxs24_224:224 coat_lite_tiny:224 "
    "convit_tiny:224 test_convnext convnextv2_atto crossvit_9_240:240 darknet17 sedarknet21 cspnext_tiny "
    "deit_tiny_patch16_224:224 densenetblur121d dla46_c dpn48b edgenext_xx_small:128 efficientformerv2_s0:224 "
    "tf_efficientnet_lite0 tinynet_e test_efficientnet test_efficientnet_gn test_efficientnet_ln "
    "efficientvim_m1:224 efficientvit_b0 efficientvit_m0:224 eva02_tiny_patch14_224:224 fasternet_t0 "
    "fastvit_t8:128 ghostnet_050 ghostnetv3_050 hgnetv2_b0 hrnet_w18_small inception_next_atto inception_v4:96 "
    "lcnetv2_small lcnet_035 levit_128s:224 test_mambaout test_maxvit:160 test_coatnet:160 poolformer_s12 "
    "convformer_s18 mixer_s32_224:224 gmlp_ti16_224:224 resmlp_12_224:224 mobilenetv3_small_050 fbnetv3_b "
    "mobilevit_xxs:128 mobilevitv2_050:128 test_nfnet nfnet_l0 pit_ti_224:224 pvt_v2_b0:128 regnetx_002 "
    "regnety_002 regnetz_005 repghostnet_050 repvit_m0_9 res2net50_14w_8s resnest14d resnet10t resnet18d "
    "ecaresnet26t seresnet18 test_resnet resnetv2_18 resnetv2_50d_gn rexnet_100 selecsls42 legacy_seresnet18 "
    "shvit_s1:224 skresnet18 starnet_s050 swiftformer_xs:224 swin_tiny_patch4_window7_224:224 "
    "swinv2_tiny_window8_256:256 tiny_vit_5m_224:224 tnt_s_patch16_224:224 test_vit test_vit_relpos:160 "
    "ese_vovnet19b_slim vovnet39a xception41:96 xcit_nano_12_p16_224:224"
)
CAMS = ("gradcam", "gradcam++", "layercam")
HANDLINGS: dict[str, Callable[[Tensor], Tensor]] = {"signed": lambda t: t, "positive": lambda t: t.clamp(min=0)}
GROUPS = (  # methods that share a forward pass
    ("gradient", "input-x-gradient"),
    CAMS,
    ("fullgrad",),
    ("guided-backprop", "deconvnet", "rectgrad"),
    ("lrp",),
)
CLASSES, OTHER, MANY_MODULES, SMALL = 10, 3, 2, 64


class Verdict(NamedTuple):
    """What became of one method with one handling: "right", "refused" or "wrong", and why."""

    network: str
    method: str
    handling: str
    result: str
    why: str = ""


def make(name: str, library: str, small: bool = False) -> tuple[nn.Module, Tensor]:
    """Return a network, its random weights made lively, and two photos.

    name: perhaps with the size of photos that it needs, as in "vit:224".
    small: build it for smaller photos, as some networks can be.
    """
    name, _, size = name.partition(":")
    torch.manual_seed(0)
    more: dict[str, Any] = {"img_size": SMALL} if small else {}
    if library == "torchvision":
        import torchvision

        more |= {"aux_logits": False} if name in ("googlenet", "inception_v3") else {}
        net = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **more)
    else:
        import timm

        net = timm.create_model(name, num_classes=CLASSES, **more)
    side = more.get("img_size") or int(size or 64)
    dtype = torch.float64
    x = F.interpolate(torch.randn(2, 3, side // 4, side // 4), (side, side), mode="bicubic").to(dtype)
    return enliven(net.to(dtype), x).requires_grad_(False), x


def enliven(net: nn.Module, x: Tensor) -> nn.Module:
    """Give a new network statistics of its own, biases that aren't zero, and no branch that is scaled to nothing."""
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim <= 1 or parameter.numel() == max(parameter.shape):
                parameter += 0.2 * torch.rand_like(parameter) + (0.05 if parameter.abs().max() < 1e-3 else 0)
        for norm in norms:
            norm.train().momentum = 1.0
        net.eval()
        for norm in norms:
            norm.train()
        with suppress(ValueError, RuntimeError):  # a BatchNorm of one value
            net(torch.cat([x, x.flip(-1), 0.5 * x.flip(-2)]))
        for norm in norms:
            if norm.running_var is not None:
                norm.running_var += 0.05 * (norm.running_var.mean() + 1)
    return net.eval()


# --- Judging ---


def tried(network: str, library: str) -> tuple[str, list[Verdict]]:
    """Return a network's name and the verdicts of all methods on it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for small in (True, False) if ":224" in network and library == "timm" else (False,):
        try:
            judge = Judge(network.partition(":")[0], *make(network, library, small))
            break
        except Exception as error:
            failed = Verdict(network, "all", "", "not tried", f"{type(error).__name__}: {str(error)[:150]}")
    else:
        return network, [failed]
    verdicts = [verdict for methods in GROUPS for verdict in judge(methods)]
    del judge
    gc.collect()
    return network, verdicts


class Judge:
    """Holds the maps of one network's second photo against plain restatements made of that photo alone."""

    def __init__(self, network: str, net: nn.Module, x: Tensor) -> None:
        self.network, self.net, self.x = network, net, x
        self.alone = x[1:]
        self.seen = Seen()
        photo = self.alone.repeat(2, 1, 1, 1).requires_grad_()  # of a single one, PyTorch's own may be wrong: layout.py
        with self.seen:
            logits = net(photo)
        self.target = int(logits[0].argmax())  # not 0, as a logit after a ReLU may be
        self.targets = [OTHER, self.target]
        (grad,) = torch.autograd.grad(logits[:, self.target].sum(), photo)
        self.grad, self.logits = grad[0], logits[:1].detach()
        self.kept: dict[Any, Any] = {}

    @cached_property
    def piecewise_linear(self) -> bool:
        """Tell whether the gradient stays the same for a photo that is a little different."""
        for _ in range(2):
            photo = (self.alone + 1e-7 * torch.randn_like(self.alone)).repeat(2, 1, 1, 1).requires_grad_()
            (grad,) = torch.autograd.grad(self.net(photo)[:, self.target].sum(), photo)
            if (grad[0] - self.grad).abs().max() <= 1e-11 * self.grad.abs().max():
                return True
        return False

    def __call__(self, methods: tuple[str, ...]) -> list[Verdict]:
        """Return the verdicts of methods that share a forward pass, and so what they refuse."""
        chosen = {(m, h): pg.METHODS[m](handling=h) for m in methods for h in HANDLINGS}
        try:
            ours = pg.explain(self.net, self.x, self.targets, chosen)
        except (ValueError, pg.UnsupportedOperation) as error:
            if any(m in str(error) for m in methods[1:]):  # not the first: the others may well serve
                return [verdict for m in methods for verdict in self((m,))]
            why = str(error).replace(methods[0], "The method")
            return [Verdict(self.network, m, h, "refused", why) for m, h in chosen]
        except Exception as error:
            why = f"raw {type(error).__name__}: {str(error)[:200]}"
            return [Verdict(self.network, m, h, "wrong", why) for m, h in chosen]
        whys = {key: self.check(*key, maps[1]) for key, maps in ours.items()}
        return [Verdict(self.network, *key, "wrong" if why else "right", why) for key, why in whys.items()]

    def check(self, method: str, handling: str, ours: Tensor) -> str:
        """Return what is wrong with a map (H, W), or nothing."""
        handle = HANDLINGS[handling]
        if method in ("gradient", "input-x-gradient"):
            return differ(ours, handle((self.grad * (self.alone[0] if "x" in method else 1)).sum(0)), "the gradient")
        if method in CAMS:
            return self.cam(method, handle, ours)
        if method == "fullgrad":
            return self.fullgrad(handle, ours)
        if method == "lrp":
            return self.lrp(handling, ours)
        if smooth := SMOOTH & self.seen.names:
            return f"explained in spite of {', '.join(sorted(smooth))}"
        theirs, logits = relu_map(self.net, self.alone, self.target, relu_rules(handle)[method])
        if not torch.allclose(logits, self.logits):
            return "can't be restated"
        return differ(ours, theirs, "the restatement")

    def cam(self, method: str, handle: Callable, ours: Tensor) -> str:
        if "layer" not in self.kept:
            self.kept["layer"] = self.layer()
        name, wrong = self.kept["layer"]
        if wrong:
            return wrong
        activation, grad = self.run_of(name)
        theirs = cam_map(method, activation[0], grad[0], handle)
        resized = F.interpolate(theirs[None, None], ours.shape, mode="bilinear", align_corners=False)
        return differ(ours, resized[0, 0], f"the plain formula at {name}", 1e-6)

    def layer(self) -> tuple[str, str]:
        """Return the name of the CAMs' layer, and what is wrong with it."""
        name = last_spatial_layer(self.net, self.x)
        if self.depends(name):
            return name, f"detached, {name} leaves a way from the photo to the logits"
        for later in self.later_than(name):
            if not self.depends(later):
                return name, f"{later} would be a later layer than {name}"
        return name, ""

    def depends(self, name: str) -> bool:
        """Tell whether the logits depend on the photo other than through this layer's output."""
        handle = self.net.get_submodule(name).register_forward_hook(lambda m, i, output: output.detach())
        try:
            return self.net(self.alone.clone().requires_grad_()).requires_grad
        finally:
            handle.remove()

    def later_than(self, name: str) -> list[str]:
        """Return layers that end after this one with other positions (N, C, h, w), not just passed on."""
        order: list[tuple[str, Any]] = []
        hooks = [
            module.register_forward_hook(lambda m, i, output, n=n: order.append((n, output)))
            for n, module in self.net.named_modules()
            if n == name or (n and not isinstance(module, (*POOLING_LIKE, nn.Linear, nn.LayerNorm)))
        ]
        self.net(self.alone.clone().requires_grad_())
        for hook in hooks:
            hook.remove()
        names = [n for n, _ in order]
        last = len(names) - 1 - names[::-1].index(name)
        ours = order[last][1]
        after = [n for n, output in order[last + 1 :] if spatial(output) and output is not ours]
        return [n for n in after if not name.startswith(n + ".")][-MANY_MODULES:]

    def run_of(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a layer's output and its gradient."""
        if "run" not in self.kept:
            outputs: list[Tensor] = []

            def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
                outputs.append(output.detach().clone().requires_grad_())
                return outputs[-1].clone()

            handle = self.net.get_submodule(name).register_forward_hook(hook)
            logits = self.net(self.alone.clone())
            handle.remove()
            self.kept["run"] = outputs[-1].detach(), torch.autograd.grad(logits[0, self.target], outputs[-1])[0]
        return self.kept["run"]

    def fullgrad(self, handle: Callable, ours: Tensor) -> str:
        if self.piecewise_linear and "terms" not in self.kept:
            total = sum(term.sum() for term in fullgrad_terms(self.net, self.alone, self.target))
            logit = self.logits[0, self.target]
            self.kept["terms"] = abs(float(total - logit)) / max(1.0, abs(float(logit)))
            if self.kept["terms"] > 1e-7 and not self.seen.saturated:
                return f"the terms miss the logit by {self.kept['terms']:.1e}"
        return differ(ours, fullgrad_map(self.net, self.alone, self.target, handle), "the restatement", 1e-6)

    def lrp(self, handling: str, ours: Tensor) -> str:
        if not self.piecewise_linear:
            return "a network that isn't piecewise linear"
        if not self.seen.saturated and "zero" not in self.kept:
            zero = pg.explain(self.net, self.x, self.targets, "lrp", rule="zero", seed="logit")[1]
            self.kept["zero"] = differ(zero, (self.grad * self.alone[0]).sum(0), "rule zero: input x gradient", 1e-6)
            if self.kept["zero"]:
                return self.kept["zero"]
        if "merged" not in self.kept:
            self.kept["merged"] = merged(self.net, self.alone)
        if (net := self.kept["merged"]) is None:
            return ""
        theirs, logits = lrp_map(net, self.alone, self.target, HANDLINGS[handling])
        if not torch.allclose(logits, self.logits, rtol=1e-4, atol=1e-4):  # the stabilizer moves the logits
            return ""
        units = (one.flatten() / one.norm() for one in (ours, theirs))
        alike = float(torch.dot(*units))  # the cosine: stabilizers move single pixels
        return "" if alike > 0.99 else f"the restatement is another map (cosine {alike:.3f})"


def merged(net: nn.Module, x: Tensor) -> nn.Module | None:
    """Return a copy whose BatchNorms are merged into convolutions; ``None`` where torch.fx can't, or some are left."""
    from torch.fx.experimental.optimization import fuse

    try:
        copy = fuse(net)
    except Exception:
        return None
    with Seen() as seen:
        copy.requires_grad_(False)(x.clone().requires_grad_())
    return None if "batch_norm" in seen.names else copy


def spatial(output: object) -> bool:
    return isinstance(output, Tensor) and output.ndim == 4 and output.requires_grad and output[0, 0].numel() > 1


def differ(ours: Tensor, theirs: Tensor, what: str, within: float = 1e-8) -> str:
    """Return by how much two maps differ, if they do."""
    difference = float((ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-300))
    return "" if difference <= within else f"differs from {what} by {difference:.1e} of its largest value"


# --- The table ---


def written(verdicts: list[Verdict]) -> str:
    """Return the table in Markdown: a row for each network, a number for each reason to refuse."""
    reasons: dict[str, int] = {}
    cells: dict[str, dict[str, list[str]]] = {}
    for v in verdicts:
        mark = {"right": "yes", "wrong": f"WRONG ({v.why})"}.get(v.result, "")
        if not mark:
            mark = str(reasons.setdefault(general(v), len(reasons) + 1))
        cells.setdefault(v.network, {}).setdefault(v.method, []).append(mark)
    counts = Counter(v.result for v in verdicts)
    lines = [
        "# Networks of others",
        "",
        f"{len(cells)} networks of torchvision and timm with random weights, in float64, two photos, "
        f"each method signed and positive: {counts['right']} right, {counts['refused']} refused, "
        f"{counts['wrong']} wrong. Written by `python benchmarks/networks.py`",
        "",
        "yes: equal to a plain restatement (benchmarks/restatements.py). A number: refused, for the reason below.",
        "",
        "| network | " + " | ".join(pg.METHODS) + " |",
        "|---" * (len(pg.METHODS) + 1) + "|",
    ]
    for network, row in cells.items():
        marks = [", ".join(dict.fromkeys(row.get(m, row.get("all", [""])))) for m in pg.METHODS]
        lines.append(f"| {network} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"{n}. {reason}" for reason, n in reasons.items()), ""])


def general(verdict: Verdict) -> str:
    """Return a reason without what names one network or method."""
    return re.sub(r"positions \(N, C, h, w\), '[^']*'", "positions (N, C, h, w)", verdict.why)


def stored(path: Path | None) -> dict[str, list[Verdict]]:
    """Return the verdicts that an earlier call left in a file, by network."""
    if path is None or not path.exists():
        return {}
    rows = map(json.loads, path.read_text().splitlines())
    return {name: [Verdict(*one) for one in found] for name, found in rows}


def report(heading: str, found: list[Verdict]) -> None:
    """Print what became of one network."""
    print(f"{heading}: {dict(Counter(v.result for v in found))}", flush=True)
    whys = {(v.result, v.why): f"    {v.result} {v.method} {v.handling}: {v.why}" for v in reversed(found) if v.why}
    print("".join(f"{line}\n" for line in reversed(whys.values())), end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="networks, all by default")
    parser.add_argument("--store", type=Path, help="a file that keeps each network's verdicts, to go on from")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    todo = [(n, "timm") for n in TIMM.split()] + [(n, "torchvision") for n in TORCHVISION.split()]
    if arguments.names:
        todo = [(n, library) for n, library in todo if n.partition(":")[0] in arguments.names]
    known = stored(arguments.store)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(tried, *one) for one in todo if one[0] not in known]
        for one in as_completed(waiting):
            name, found = one.result()
            known[name] = found
            report(f"{len(known)}/{len(todo)} {name}", found)
            if arguments.store:
                with arguments.store.open("a") as file:
                    file.write(json.dumps([name, found]) + "\n")
    verdicts = [verdict for name, _ in todo for verdict in known[name]]
    table = written(verdicts)
    if arguments.names:
        print(table)
    else:
        TABLE.write_text(table, encoding="utf-8")
    print(Counter(v.result for v in verdicts))


if __name__ == "__main__":
    main()
