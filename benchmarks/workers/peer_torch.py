"""Worker of `peers.py`: a plain PyTorch StyleGAN, one step of D and one of G.

Written as a PyTorch engineer would: modules and functional operations, channels-last,
autocast for bfloat16, a foreach Adam. The numbers of options that were tried, and which
won, stand in `docs/performance.md`.

    python -m workers.peer_torch --resolution=64 --precision=bfloat16
"""

import torch
import torch.nn.functional as F
from torch import nn

from workers import matched
from workers.matched import fmaps, levels

RELU_GAIN = 2**0.5


def lrelu(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of slope 0.2."""
    return F.leaky_relu(x, 0.2)


class Dense(nn.Module):
    """Linear layer with the equalized learning rate: [N, I] -> [N, units]."""

    def __init__(self, width: int, units: int, gain=RELU_GAIN, lrmul=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(units, width) / lrmul)
        self.bias = nn.Parameter(torch.zeros(units))
        self.scale, self.lrmul = gain / width**0.5 * lrmul, lrmul

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias * self.lrmul)


class Conv(nn.Module):
    """Convolution with the equalized learning rate: [N, I, H, W] -> [N, O, H, W]."""

    def __init__(self, maps: int, out: int, size=3, gain=RELU_GAIN, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, maps, size, size))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.scale, self.pad = gain / (maps * size * size) ** 0.5, size // 2

    def forward(self, x):
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.pad)


class _Blur(torch.autograd.Function):
    """Convolution, map by map, with a fixed kernel that is its own mirror image.

    It is its own adjoint. Autograd would not know, and would differentiate the gradient
    once a map where R1 asks for it.
    """

    @staticmethod
    def forward(ctx, x, kernel):
        ctx.save_for_backward(kernel)
        return F.conv2d(x, kernel, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx, gradient):
        (kernel,) = ctx.saved_tensors
        return _Blur.apply(gradient, kernel), None


class Blur(nn.Module):
    """Low-pass filter (1, 2, 1) x (1, 2, 1) / 16, map by map."""

    def __init__(self, maps: int):
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        kernel = (taps[:, None] * taps / 16).expand(maps, 1, 3, 3)
        self.register_buffer("kernel", kernel.contiguous())

    def forward(self, x):
        return _Blur.apply(x, self.kernel.to(x.dtype))


class Tail(nn.Module):
    """Noise, bias, activation and AdaIN, after a convolution of G."""

    def __init__(self, maps: int):
        super().__init__()
        self.noise = nn.Parameter(torch.zeros(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))
        self.style = Dense(matched.WIDTH, 2 * maps, gain=1.0)

    def forward(self, x, w):
        n, _, height, width = x.shape
        noise = torch.randn(n, 1, height, width, dtype=x.dtype)
        x = x + noise * self.noise.to(x.dtype) + self.bias.to(x.dtype)
        x = F.instance_norm(lrelu(x), eps=1e-8)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, x, scale + 1)


class GeneratorBlock(nn.Module):
    """Two layers at one resolution; all but the first double the picture."""

    def __init__(self, resolution: int):
        super().__init__()
        maps = fmaps(resolution)
        self.first = resolution == 4
        if self.first:
            self.const = nn.Parameter(torch.ones(1, maps, 4, 4))
        else:
            self.conv0 = Conv(fmaps(resolution // 2), maps, bias=False)
            self.blur = Blur(maps)
        self.tail0 = Tail(maps)
        self.conv1 = Conv(maps, maps, bias=False)
        self.tail1 = Tail(maps)

    def forward(self, x, w0, w1):
        if self.first:
            x = self.const.expand(len(w0), -1, -1, -1)
        else:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = self.blur(self.conv0(x))
        return self.tail1(self.conv1(self.tail0(x, w0)), w1)


class Generator(nn.Module):
    """z, z2 [N, 128] -> pictures float32 [N, 3, R, R], styles mixed at `cutoff`."""

    def __init__(self, resolution: int):
        super().__init__()
        width, lrmul = matched.WIDTH, matched.MAPPING_LRMUL
        layers = range(matched.MAPPING_LAYERS)
        self.mapping = nn.ModuleList(Dense(width, width, lrmul=lrmul) for _ in layers)
        self.blocks = nn.ModuleList(GeneratorBlock(r) for r in levels(resolution))
        self.to_rgb = Conv(fmaps(resolution), 3, 1, gain=1.0)

    def styles(self, z):
        """w [N, 128]."""
        w = z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)
        for dense in self.mapping:
            w = lrelu(dense(w))
        return w

    def forward(self, z, z2, cutoff: int):
        w, w2 = self.styles(torch.cat([z, z2])).chunk(2)
        below = torch.arange(2 * len(self.blocks)) < cutoff
        return self.synthesis(torch.where(below[:, None, None], w, w2))

    def synthesis(self, ws):
        """Styles [layers, N, 128] -> pictures."""
        x, ws = None, ws.unbind()
        for i, block in enumerate(self.blocks):
            x = block(x, *ws[2 * i : 2 * i + 2])
        return self.to_rgb(x).float()


class DiscriminatorBlock(nn.Module):
    """Two convolutions; the second one is followed by 2 x 2 means."""

    def __init__(self, resolution: int):
        super().__init__()
        maps = fmaps(resolution)
        self.conv0, self.blur = Conv(maps, maps), Blur(maps)
        self.conv1 = Conv(maps, fmaps(resolution // 2))

    def forward(self, x):
        x = self.blur(lrelu(self.conv0(x)))
        return lrelu(F.avg_pool2d(self.conv1(x), 2))


class Discriminator(nn.Module):
    """Pictures [N, 3, R, R] -> scores float32 [N, 1]."""

    def __init__(self, resolution: int):
        super().__init__()
        maps, hidden = fmaps(4), fmaps(2)
        self.from_rgb = Conv(3, fmaps(resolution), 1)
        sizes = reversed(levels(resolution, first=8))
        self.blocks = nn.ModuleList(DiscriminatorBlock(r) for r in sizes)
        self.conv = Conv(maps + 1, maps)
        self.dense0 = Dense(16 * maps, hidden)
        self.dense1 = Dense(hidden, 1, gain=1.0)

    def forward(self, x):
        x = lrelu(self.from_rgb(x))
        for block in self.blocks:
            x = block(x)
        x = lrelu(self.conv(torch.cat([x, self.spread(x)], dim=1)))
        return self.dense1(lrelu(self.dense0(x.flatten(1)))).float()

    @staticmethod
    def spread(x):
        """Computes the standard deviation over a group: [N, 1, H, W]."""
        n, maps, height, width = x.shape
        y = x.float().reshape(matched.GROUP, -1, maps, height, width)
        y = (y.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        y = y.repeat(matched.GROUP)[:, None, None, None]
        return y.expand(n, 1, height, width).to(x.dtype)


class Step:
    """One step of D and one of G.

    Args:
        resolution: of the pictures.
        precision: "float32" or "bfloat16".
        compiled: whether torch.compile has what it can have: all but the pass of D that
            R1 differentiates twice, which it refuses.
        adam: "foreach" or "fused".
        device: "cpu" or "cuda", the default device of the process.
    """

    def __init__(
        self,
        resolution,
        precision="float32",
        compiled=False,
        adam="foreach",
        device="cpu",
    ):
        last = {"memory_format": torch.channels_last}
        self.g = Generator(resolution).to(**last)
        self.d = Discriminator(resolution).to(**last)
        self.average = Generator(resolution).to(**last).requires_grad_(False)
        self.average.load_state_dict(self.g.state_dict())
        how = {"lr": matched.LR, "betas": matched.BETAS, "eps": matched.EPSILON}
        how[adam] = True
        self.g_adam = torch.optim.Adam(self.g.parameters(), **how)
        self.d_adam = torch.optim.Adam(self.d.parameters(), **how)
        self.score = self.d
        if compiled:
            self.g.synthesis = torch.compile(self.g.synthesis, dynamic=False)
            self.score = torch.compile(self.d, dynamic=False)
        half = precision == "bfloat16"
        self.cast = lambda: torch.autocast(device, torch.bfloat16, enabled=half)

    def draws(self):
        z = torch.randn(2, matched.BATCH, matched.WIDTH)
        layers = 2 * len(self.g.blocks)
        mixes = torch.rand(()) < matched.MIXING
        cutoff = int(torch.randint(1, layers, ())) if mixes else layers
        return *z, cutoff

    def __call__(self, images: torch.Tensor) -> None:
        """Trains on uint8 [N, 3, R, R]."""
        reals = images.to(torch.float32) / 127.5 - 1
        self.train_discriminator(reals)
        self.train_generator()
        average, g = list(self.average.parameters()), list(self.g.parameters())
        torch._foreach_lerp_(average, g, 1 - matched.AVERAGE)

    def train_discriminator(self, reals):
        with torch.no_grad(), self.cast():
            fakes = self.g(*self.draws())
        self.d.requires_grad_(True)
        reals.requires_grad_(True)
        with self.cast():
            real, fake = self.d(reals), self.score(fakes)
        (slope,) = torch.autograd.grad(real.sum(), reals, create_graph=True)
        r1 = slope.square().sum((1, 2, 3)).mean() / 2
        loss = F.softplus(fake).mean() + F.softplus(-real).mean()
        self.d_adam.zero_grad(set_to_none=True)
        (loss + matched.R1_GAMMA * r1).backward()
        self.d_adam.step()

    def train_generator(self):
        self.d.requires_grad_(False)
        with self.cast():
            loss = F.softplus(-self.score(self.g(*self.draws()))).mean()
        self.g_adam.zero_grad(set_to_none=True)
        loss.backward()
        self.g_adam.step()


def main() -> None:
    """Builds, warms up and serves."""
    from workers import pairing

    args = matched.arguments(__doc__, compiled=0, adam="foreach", device="cpu")
    torch.manual_seed(0)
    torch.set_default_device(args.device)
    step = Step(
        args.resolution, args.precision, bool(args.compiled), args.adam, args.device
    )
    images = torch.from_numpy(matched.pictures(args.resolution, 4)).movedim(-1, 2)
    images = images.to(args.device)

    def work(steps: int) -> None:
        for i in range(steps):
            step(images[i % len(images)])
        if args.device == "cuda":
            torch.cuda.synchronize()

    work(4 if args.compiled else 2)
    pairing.serve(work)


if __name__ == "__main__":
    main()
