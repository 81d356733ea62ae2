"""A StyleGAN generator in plain PyTorch, which `benchmarks/sampling.py` draws against.

    python -m workers.draw_torch --resolution=64 --batch=8 --compile

Written for drawing by the usual means: nearest neighbors by `interpolate`, a 3 x 3
convolution, a depthwise blur, channels last, the equalized rate multiplied into the
weights beforehand, inference mode, and `torch.compile` or bfloat16 where asked for. The
weights are random: they do not change what it costs. Needs `pip install torch`.
"""

import argparse
import math

from workers import draw_sizes, pairing

try:
    import torch
    import torch.nn.functional as F
except ImportError as error:
    raise SystemExit(f"{error}: pip install torch") from error


class Dense(torch.nn.Module):
    """A dense layer: [N, I] -> [N, O]."""

    def __init__(self, inputs: int, outputs: int, gain: float):
        super().__init__()
        weight = torch.randn(outputs, inputs) * gain / math.sqrt(inputs)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


class Mapping(torch.nn.Module):
    """z to w, eight layers 512 wide: [N, 512] -> [N, 512]."""

    def __init__(self, width: int = 512, layers: int = 8):
        super().__init__()
        parts = [Dense(width, width, math.sqrt(2)) for _ in range(layers)]
        self.layers = torch.nn.ModuleList(parts)

    def forward(self, z):
        x = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


class Tail(torch.nn.Module):
    """Noise, bias, activation, instance norm, style: [N, C, H, W] -> the same."""

    def __init__(self, maps: int, side: int, w_dim: int = 512):
        super().__init__()
        self.register_buffer("noise", torch.randn(1, 1, side, side))
        self.strength = torch.nn.Parameter(torch.randn(maps, 1, 1))
        self.bias = torch.nn.Parameter(torch.zeros(maps, 1, 1))
        self.style = Dense(w_dim, 2 * maps, 1.0)

    def forward(self, x, w):
        x = F.leaky_relu(x + self.noise * self.strength + self.bias, 0.2)
        x = F.instance_norm(x, eps=1e-8)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return x * (scale + 1) + shift


class Block(torch.nn.Module):
    """Two styled layers at one resolution; the first one doubles the picture."""

    def __init__(self, inputs: int, maps: int, side: int):
        super().__init__()
        self.up = self._conv(inputs, maps) if side > 4 else None
        self.conv = self._conv(maps, maps)
        self.tails = torch.nn.ModuleList([Tail(maps, side), Tail(maps, side)])
        taps = torch.tensor([1.0, 2.0, 1.0])
        kernel = (taps[:, None] * taps / 16).expand(maps, 1, 3, 3).clone()
        self.register_buffer("blur", kernel)

    @staticmethod
    def _conv(inputs: int, maps: int) -> torch.nn.Conv2d:
        conv = torch.nn.Conv2d(inputs, maps, 3, padding=1, bias=False)
        torch.nn.init.normal_(conv.weight, std=math.sqrt(2 / (9 * inputs)))
        return conv

    def forward(self, x, w):
        if self.up is not None:
            x = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
            x = F.conv2d(x, self.blur, padding=1, groups=x.shape[1])
        x = self.tails[0](x, w)
        return self.tails[1](self.conv(x), w)


class Generator(torch.nn.Module):
    """z to finished pictures: [N, 512] -> uint8 [N, H, W, 3]."""

    def __init__(self, maps: dict[int, int], psi: float = 0.7):
        super().__init__()
        self.mapping = Mapping()
        self.psi = psi
        self.register_buffer("w_avg", torch.zeros(512))
        self.start = torch.nn.Parameter(torch.ones(1, maps[4], 4, 4))
        inputs = [maps[max(side // 2, 4)] for side in maps]
        parts = [Block(i, o, s) for i, (s, o) in zip(inputs, maps.items(), strict=True)]
        self.blocks = torch.nn.ModuleList(parts)
        self.to_rgb = torch.nn.Conv2d(maps[max(maps)], 3, 1)

    def forward(self, z):
        w = self.w_avg + self.psi * (self.mapping(z) - self.w_avg)
        x = self.start.expand(len(z), -1, -1, -1)
        x = x.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, w)
        x = (self.to_rgb(x).float() * 127.5 + 128).clamp(0, 255)
        return x.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def main() -> None:
    """Draws as often as it is told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--plain", action="store_true", help="no channels last")
    args = parser.parse_args()
    model = Generator(draw_sizes.fmaps(args.resolution)).eval().requires_grad_(False)
    if not args.plain:
        model = model.to(memory_format=torch.channels_last)
    draw = torch.compile(model, dynamic=False) if args.compile else model
    low = args.precision == "bfloat16"

    @torch.inference_mode()
    def work(times: int) -> None:
        for _ in range(times):
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                draw(torch.randn(args.batch, 512)).numpy()

    work(2)
    pairing.serve(work, {"pictures": args.batch})


if __name__ == "__main__":
    main()
