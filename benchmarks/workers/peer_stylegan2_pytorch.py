"""Worker of `peers.py`: `stylegan2-pytorch` from PyPI, at its own architecture.

A black box behind its documented `Trainer`, opened as `quality_peer.py` opens it, which
needs no GPU. Nothing else of it is touched.

    python -m workers.peer_stylegan2_pytorch --resolution=64 --batch=5 --accumulate=6
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from workers import matched, quality_peer

CYCLE = 4  # calls after which its gradient penalty has come round


def trainer(resolution: int, batch: int, accumulate: int, folder: Path):
    """Its Trainer, with the defaults of its command line but for the arguments.

    Args:
        resolution: of the pictures.
        batch, accumulate: pictures a round, rounds a step.
        folder: for its data and its files.
    """
    data = folder / "data"
    data.mkdir()
    for i, picture in enumerate(
        matched.pictures(resolution, 4).reshape(-1, resolution, resolution, 3)
    ):
        Image.fromarray(picture).save(data / f"{i}.png")
    made = quality_peer.package().Trainer(
        base_dir=str(folder),
        results_dir=str(folder / "results"),
        models_dir=str(folder / "models"),
        image_size=resolution,
        batch_size=batch,
        gradient_accumulate_every=accumulate,
        lr=2e-4,
        ttur_mult=1.5,
        save_every=1 << 30,
        evaluate_every=1 << 30,
        num_workers=0,
    )
    made.set_data_src(str(data))
    return made


def of_convolution(x, kernel, out, transposed: bool) -> int:
    """Multiply-adds: one row of the kernel a pixel that comes out, or that goes in."""
    pixels = x if transposed else out
    return pixels.numel() * kernel[0].numel()


class Operations(TorchDispatchMode):
    """Counts multiply-adds of convolutions, their gradients, and products.

    `FlopCounterMode` would, but its hooks into modules do not bear a gradient that is
    differentiated, and the gradient of a kernel in groups it counts as one of all maps.
    """

    total = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = function(*args, **kwargs)
        packet, aten = function.overloadpacket, torch.ops.aten
        if packet == aten.convolution:
            self.total += of_convolution(args[0], args[1], out, args[6])
        elif packet == aten.convolution_backward:
            once = of_convolution(args[1], args[2], args[0], args[7])
            self.total += once * sum(args[10][:2])  # of the input, of the kernel
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **kwargs, out_val=out) // 2
        return out


def macs(made, images: int) -> float:
    """Multiply-adds an image that its convolutions and products execute."""
    with Operations() as counter:
        for _ in range(CYCLE):
            made.train()
    return counter.total / CYCLE / images


def main() -> None:
    """Builds, counts and serves."""
    from workers import pairing

    args = matched.arguments(__doc__, batch=5, accumulate=6)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        made = trainer(args.resolution, args.batch, args.accumulate, Path(folder))
        made.train()  # the first one saves a model and draws a sheet
        images = args.batch * args.accumulate
        about = {"macs": macs(made, images), "images": images}

        def work(steps: int) -> None:
            for _ in range(steps):
                made.train()

        pairing.serve(work, about)


if __name__ == "__main__":
    main()
