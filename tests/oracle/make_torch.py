#!/usr/bin/env python3
"""Exports small nets as PyTorch users write them, by both exporters, to the folder torch.

    make_torch.py [NAME ...]

Each net becomes `NAME.script.onnx` (the exporter by TorchScript) and `NAME.dynamo.onnx` (the one by torch.export), without
what only debugging needs. `ids.json` says which nets read integers, and below what they lie. Needs the packages of
torch/requirements.txt, which are several gigabytes: what is exported is committed, and nothing else runs this.
"""

import json
import sys
import warnings
from pathlib import Path

import onnx
import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).parent / "torch"
# What aten::rms_norm has no form for.
NOT_EXPORTED = {("llama_mlp", "script")}

warnings.filterwarnings("ignore")
torch.manual_seed(0)
# By name: the net, the shape of its input, and below what integers lie that it reads.
N = {}


def net(name, *shape, ids=None):
    def deco(f):
        N[name] = (f, shape, ids)
        return f

    return deco


@net("mlp", 1, 16)
def _():
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 16), nn.GELU(), nn.Linear(16, 4))


@net("mlp_bn", 1, 16)
def _():
    return nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.SiLU(), nn.Linear(32, 4), nn.Softmax(-1))


@net("cnn", 1, 3, 16, 16)
def _():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3),
        nn.LeakyReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )


class Block(nn.Module):
    def __init__(s, i, o, st):
        super().__init__()
        s.c1 = nn.Conv2d(i, o, 3, st, 1, bias=False)
        s.b1 = nn.BatchNorm2d(o)
        s.c2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        s.b2 = nn.BatchNorm2d(o)
        s.d = (
            nn.Sequential(nn.Conv2d(i, o, 1, st, bias=False), nn.BatchNorm2d(o)) if st > 1 or i != o else nn.Identity()
        )

    def forward(s, x):
        return F.relu(s.b2(s.c2(F.relu(s.b1(s.c1(x))))) + s.d(x))


@net("resnet", 1, 3, 16, 16)
def _():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1),
        Block(8, 8, 1),
        Block(8, 12, 2),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(12, 4),
    )


class SE(nn.Module):
    def __init__(s, c):
        super().__init__()
        s.a = nn.Conv2d(c, c // 2, 1)
        s.b = nn.Conv2d(c // 2, c, 1)

    def forward(s, x):
        return x * F.hardsigmoid(s.b(F.relu(s.a(F.adaptive_avg_pool2d(x, 1)))))


class IR(nn.Module):
    def __init__(s, i, e, o, se=False, act=nn.ReLU6, st=1):
        super().__init__()
        s.r = i == o and st == 1
        s.m = nn.Sequential(
            nn.Conv2d(i, e, 1, bias=False),
            nn.BatchNorm2d(e),
            act(),
            nn.Conv2d(e, e, 3, st, 1, groups=e, bias=False),
            nn.BatchNorm2d(e),
            act(),
            SE(e) if se else nn.Identity(),
            nn.Conv2d(e, o, 1, bias=False),
            nn.BatchNorm2d(o),
        )

    def forward(s, x):
        return x + s.m(x) if s.r else s.m(x)


@net("mobilenet2", 1, 3, 16, 16)
def _():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.ReLU6(),
        IR(8, 16, 8),
        IR(8, 16, 12, st=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 4),
    )


@net("mobilenet3", 1, 3, 16, 16)
def _():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),
        nn.Hardswish(),
        IR(8, 16, 8, True, nn.Hardswish),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 16),
        nn.Hardswish(),
        nn.Linear(16, 4),
    )


class Encoder(nn.Module):
    def __init__(s, first=False, act="relu"):
        super().__init__()
        s.e = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=first, activation=act, dropout=0.0),
            1,
            enable_nested_tensor=False,
        )
        s.h = nn.Linear(16, 3)

    def forward(s, x):
        return s.h(s.e(x).mean(1))


@net("encoder", 1, 8, 16)
def _():
    return Encoder()


@net("encoder_pre_gelu", 1, 8, 16)
def _():
    return Encoder(True, "gelu")


class ViT(nn.Module):
    def __init__(s):
        super().__init__()
        s.p = nn.Conv2d(3, 16, 4, 4)
        s.cls = nn.Parameter(torch.randn(1, 1, 16) * 0.1)
        s.pos = nn.Parameter(torch.randn(1, 17, 16) * 0.1)
        s.e = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu")
        s.n = nn.LayerNorm(16)
        s.h = nn.Linear(16, 4)

    def forward(s, x):
        x = s.p(x).flatten(2).transpose(1, 2)
        x = torch.cat([s.cls.expand(x.shape[0], -1, -1), x], 1) + s.pos
        return s.h(s.n(s.e(x))[:, 0])


@net("vit", 1, 3, 16, 16)
def _():
    return ViT()


class GPT(nn.Module):
    def __init__(s):
        super().__init__()
        s.t = nn.Embedding(20, 16)
        s.p = nn.Embedding(8, 16)
        s.qkv = nn.Linear(16, 48)
        s.o = nn.Linear(16, 16)
        s.l1 = nn.LayerNorm(16)
        s.l2 = nn.LayerNorm(16)
        s.f = nn.Sequential(nn.Linear(16, 32), nn.GELU(approximate="tanh"), nn.Linear(32, 16))
        s.h = nn.Linear(16, 20, bias=False)
        s.register_buffer("m", torch.tril(torch.ones(8, 8)).view(1, 1, 8, 8))

    def forward(s, i):
        b, t = i.shape
        x = s.t(i) + s.p(torch.arange(t, device=i.device))
        h = s.l1(x)
        q, k, v = s.qkv(h).split(16, 2)
        q, k, v = [z.view(b, t, 2, 8).transpose(1, 2) for z in (q, k, v)]
        a = (q @ k.transpose(-2, -1)) * (1 / 8**0.5)
        a = a.masked_fill(s.m[:, :, :t, :t] == 0, float("-inf"))
        y = F.softmax(a, -1) @ v
        x = x + s.o(y.transpose(1, 2).contiguous().view(b, t, 16))
        x = x + s.f(s.l2(x))
        return s.h(x)


@net("gpt", 1, 8, ids=20)
def _():
    return GPT()


class GPT2(GPT):
    def forward(s, i):
        b, t = i.shape
        x = s.t(i) + s.p(torch.arange(t, device=i.device))
        h = s.l1(x)
        q, k, v = s.qkv(h).chunk(3, 2)
        q, k, v = [z.view(b, t, 2, 8).transpose(1, 2) for z in (q, k, v)]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + s.o(y.transpose(1, 2).reshape(b, t, 16))
        x = x + s.f(s.l2(x))
        return s.h(x)


@net("gpt_sdpa", 1, 8, ids=20)
def _():
    return GPT2()


class RNNs(nn.Module):
    def __init__(s, kind, last=True, **k):
        super().__init__()
        s.r = getattr(nn, kind)(6, 8, batch_first=True, **k)
        s.h = nn.Linear(16 if k.get("bidirectional") else 8, 3)
        s.last = last

    def forward(s, x):
        y, _ = s.r(x)
        return s.h(y[:, -1] if s.last else y)


for kind in ("LSTM", "GRU", "RNN"):
    net(kind.lower(), 1, 8, 6)(lambda kind=kind: RNNs(kind))
    net(kind.lower() + "_bi", 1, 8, 6)(lambda kind=kind: RNNs(kind, bidirectional=True))
    net(kind.lower() + "_two", 1, 8, 6)(lambda kind=kind: RNNs(kind, num_layers=2, last=False))


class Hn(nn.Module):
    def __init__(s):
        super().__init__()
        s.r = nn.LSTM(6, 8, batch_first=True)
        s.h = nn.Linear(8, 3)

    def forward(s, x):
        _, (h, c) = s.r(x)
        return s.h(h[-1])


@net("lstm_hidden", 1, 8, 6)
def _():
    return Hn()


class TB(nn.Module):
    def __init__(s, i, o, d):
        super().__init__()
        s.c = nn.utils.parametrizations.weight_norm(nn.Conv1d(i, o, 3, padding=2 * d, dilation=d))
        s.p = 2 * d
        s.d = nn.Conv1d(i, o, 1) if i != o else None

    def forward(s, x):
        y = F.relu(s.c(x)[:, :, : -s.p])
        return F.relu(y + (x if s.d is None else s.d(x)))


@net("tcn", 1, 4, 16)
def _():
    return nn.Sequential(TB(4, 8, 1), TB(8, 8, 2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3))


class UNet(nn.Module):
    def __init__(s, up):
        super().__init__()
        s.a = nn.Sequential(nn.Conv2d(1, 6, 3, 1, 1), nn.ReLU())
        s.b = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(6, 12, 3, 1, 1), nn.ReLU())
        s.u = (
            nn.ConvTranspose2d(12, 6, 2, 2)
            if up == "t"
            else nn.Sequential(
                nn.Upsample(scale_factor=2, mode=up, **({"align_corners": False} if up == "bilinear" else {})),
                nn.Conv2d(12, 6, 1),
            )
        )
        s.c = nn.Conv2d(12, 1, 3, 1, 1)

    def forward(s, x):
        a = s.a(x)
        return torch.sigmoid(s.c(torch.cat([a, s.u(s.b(a))], 1)))


for up in ("t", "nearest", "bilinear"):
    net("unet_" + up, 1, 1, 12, 12)(lambda up=up: UNet(up))


@net("unet_in_gn", 1, 3, 12, 12)
def _():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 1, 1),
        nn.GroupNorm(2, 8),
        nn.SiLU(),
        nn.Conv2d(8, 4, 3, 1, 1),
        nn.InstanceNorm2d(4, affine=True),
        nn.PReLU(4),
        nn.Conv2d(4, 2, 1),
        nn.Tanh(),
    )


@net("pixelshuffle", 1, 3, 8, 8)
def _():
    return nn.Sequential(nn.Conv2d(3, 12, 3, 1, 1), nn.PReLU(), nn.PixelShuffle(2), nn.Conv2d(3, 3, 3, 1, 1))


class Mixer(nn.Module):
    def __init__(s):
        super().__init__()
        s.n1 = nn.LayerNorm(12)
        s.t = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        s.n2 = nn.LayerNorm(12)
        s.c = nn.Sequential(nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        s.h = nn.Linear(12, 3)

    def forward(s, x):
        x = x + s.t(s.n1(x).transpose(1, 2)).transpose(1, 2)
        x = x + s.c(s.n2(x))
        return s.h(x.mean(1))


@net("mixer", 1, 8, 12)
def _():
    return Mixer()


class ConvNeXt(nn.Module):
    def __init__(s):
        super().__init__()
        s.s = nn.Conv2d(3, 8, 4, 4)
        s.d = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        s.n = nn.LayerNorm(8, eps=1e-6)
        s.a = nn.Linear(8, 16)
        s.b = nn.Linear(16, 8)
        s.g = nn.Parameter(torch.ones(8) * 0.5)
        s.h = nn.Linear(8, 4)

    def forward(s, x):
        x = s.s(x)
        y = s.d(x).permute(0, 2, 3, 1)
        y = s.g * s.b(F.gelu(s.a(s.n(y))))
        x = x + y.permute(0, 3, 1, 2)
        return s.h(x.mean([-2, -1]))


@net("convnext", 1, 3, 16, 16)
def _():
    return ConvNeXt()


class Ein(nn.Module):
    def __init__(s):
        super().__init__()
        s.w = nn.Parameter(torch.randn(4, 6, 5) * 0.3)
        s.l = nn.Linear(20, 3)

    def forward(s, x):
        return s.l(torch.einsum("btd,hdk->bthk", x, s.w).flatten(2).relu().amax(1))


@net("einsum", 1, 5, 6)
def _():
    return Ein()


class MHA(nn.Module):
    def __init__(s):
        super().__init__()
        s.a = nn.MultiheadAttention(16, 4, batch_first=True)
        s.l = nn.Linear(16, 2)

    def forward(s, x):
        return s.l(s.a(x, x, x, need_weights=False)[0])


@net("mha", 1, 6, 16)
def _():
    return MHA()


class Text(nn.Module):
    def __init__(s):
        super().__init__()
        s.e = nn.Embedding(30, 8)
        s.c = nn.Conv1d(8, 8, 3)
        s.h = nn.Linear(8, 2)

    def forward(s, i):
        return F.log_softmax(s.h(F.relu(s.c(s.e(i).transpose(1, 2))).max(2)[0]), 1)


@net("textcnn", 1, 10, ids=30)
def _():
    return Text()


class RMS(nn.Module):
    def __init__(s):
        super().__init__()
        s.n = nn.RMSNorm(12)
        s.g = nn.Linear(12, 24, bias=False)
        s.u = nn.Linear(12, 24, bias=False)
        s.d = nn.Linear(24, 12, bias=False)

    def forward(s, x):
        h = s.n(x)
        return x + s.d(F.silu(s.g(h)) * s.u(h))


@net("llama_mlp", 1, 6, 12)
def _():
    return RMS()


class Where(nn.Module):
    def __init__(s):
        super().__init__()
        s.l = nn.Linear(10, 10)

    def forward(s, x):
        y = s.l(x)
        y = torch.where(y > 0, y, 0.1 * y)
        a, b = y.chunk(2, 1)
        return torch.stack([torch.clamp(a, -1, 1), torch.maximum(a, b)], 1).squeeze(0)


@net("where", 1, 10)
def _():
    return Where()


@net("autoencoder", 1, 16)
def _():
    return nn.Sequential(nn.Linear(16, 4), nn.ELU(), nn.Linear(4, 16), nn.Sigmoid())


@net("conv3d", 1, 2, 6, 6, 6)
def _():
    return nn.Sequential(nn.Conv3d(2, 4, 3), nn.ReLU(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(32, 3))


def bare(model):
    """The model without names of files, stacks and types of inner values."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    del graph.value_info[:]
    for part in [graph, *graph.node, *graph.input, *graph.output, *graph.initializer]:
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def export(name, way):
    make, shape, ids = N[name]
    torch.manual_seed(sum(map(ord, name)))
    module = make().eval()
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    x = torch.randint(0, ids, shape) if ids else torch.randn(shape)
    path = HERE / f"{name}.{way}.onnx"
    names = {"input_names": ["x"], "output_names": ["y"]}
    if way == "dynamo":
        torch.onnx.export(module, (x,), path, dynamo=True, external_data=False, **names)
    else:
        torch.onnx.export(module, (x,), path, dynamo=False, opset_version=17, **names)
    onnx.save(bare(onnx.load(path)), path)


def main():
    HERE.mkdir(exist_ok=True)
    for name in sys.argv[1:] or N:
        for way in ("script", "dynamo"):
            if (name, way) not in NOT_EXPORTED:
                export(name, way)
    ids = {name: ids for name, (_, _, ids) in N.items() if ids}
    (HERE / "ids.json").write_text(json.dumps(ids, indent=1) + "\n")


if __name__ == "__main__":
    main()
