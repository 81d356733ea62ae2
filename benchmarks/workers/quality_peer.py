"""stylegan2-pytorch, as quality.py trains it and draws with it. Has no TensorFlow.

    python -m workers.quality_peer train FOLDER PICTURES MINUTES '{"batch_size": 16}'
    python -m workers.quality_peer draw FOLDER SNAPSHOT COUNT FILE.npz

A black box, used as its manual says: `Trainer.train` makes a step, `Trainer.save` and
`load` keep and restore, `ModelLoader` draws with its moving average, not truncated.
The average begins late in its schedule, after which it is the better generator; until
then the live one is. Both are drawn, and quality.py takes the better one.

Its reports are put off for ever; only what it does at its first step counts to its
time. It refuses to start without CUDA; `without_cuda` lets it find one that is not
there, and `.cuda()` then leaves everything where it is, which costs nothing.
"""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from workers import quality_clock as clock

NAME = "peer"
STATE = "state.json"  # images and seconds of the newest saved state, its number
NEVER = 1 << 40
# Its command line's defaults but for the size of the batch, which is meant for a GPU,
# and what saves time on one core.
SETTINGS = {
    "image_size": 64,
    "network_capacity": 4,
    "batch_size": 16,
    "gradient_accumulate_every": 1,
    "lr": 2e-4,
    "ttur_mult": 1.5,
    "num_workers": 0,
    "save_every": NEVER,
    "evaluate_every": NEVER,
}


def main(arguments: list[str]) -> int:
    """Trains or draws, as the module's docstring says; returns the exit code."""
    command, folder, *rest = arguments
    if command == "train":
        pictures, minutes, settings = rest
        return train(Path(folder), pictures, float(minutes), json.loads(settings))
    snapshot, count, file = rest
    return draw(Path(folder), int(snapshot), int(count), file)


def package():
    """stylegan2_pytorch, on a machine with or without CUDA."""
    try:
        import torch

        with without_cuda(torch):
            import stylegan2_pytorch
    except ImportError as error:
        sys.exit(f"error: {error}; pip install stylegan2-pytorch")
    return stylegan2_pytorch


@contextlib.contextmanager
def without_cuda(torch) -> Iterator[None]:
    """Lets a program that insists on CUDA as it starts compute on the CPU.

    Afterwards torch knows again that there is no GPU, or its optimizers and loaders
    would look for a driver.
    """
    found = torch.cuda.is_available
    if not found():
        torch.cuda.is_available = lambda: True
        torch.cuda.set_device = lambda *_: None
        for kind in (torch.Tensor, torch.nn.Module):
            kind.cuda = lambda self, *_, **__: self
    try:
        yield
    finally:
        torch.cuda.is_available = found


def train(folder: Path, pictures: str, minutes: float, settings: dict) -> int:
    """Trains, or continues, and keeps states.

    Args:
        folder: of the training.
        pictures: folder of PNG files.
        minutes: of CPU time, all sessions together.
        settings: of its `Trainer`, on top of `SETTINGS`.

    Returns:
        0 when the time is up, 143 when it was told to stop.
    """
    package_ = package()
    state = _state(folder)
    stamps = clock.Stamps(folder, minutes)
    settings = SETTINGS | settings
    trainer = package_.Trainer(name=NAME, base_dir=str(folder), **settings)
    batch = settings["batch_size"] * settings["gradient_accumulate_every"]
    if state["number"]:
        trainer.load(state["number"])
        trainer.steps = state["number"] // batch  # not that of states in a row
    else:
        trainer.clear()
    trainer.set_data_src(pictures)
    stop = _told_to_stop()
    while not (stop or stamps.finished):
        trainer.train()
        state["images"] += batch
        spent = state["seconds"] + clock.cpu_seconds()
        minute = stamps.due(spent)
        if minute is not None:
            number = _save(trainer, folder, state, spent)
            stamps.keep(clock.Stamp(minute, spent / 60, state["images"], str(number)))
            print(f"minute {minute:g}: {state['images']} images", flush=True)
    if stop:
        _save(trainer, folder, state, state["seconds"] + clock.cpu_seconds())
    return 143 if stop else 0


def _state(folder: Path) -> dict:
    path = folder / STATE
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"number": 0, "images": 0, "seconds": 0.0}


def _save(trainer, folder: Path, state: dict, seconds: float) -> int:
    """Saves under the number of images seen, which says the time, too."""
    number = state["images"]
    trainer.save(number)
    saved = {"number": number, "images": number, "seconds": seconds}
    (folder / STATE).write_text(json.dumps(saved), encoding="utf-8")
    return number


def _told_to_stop() -> list:
    """Grows when SIGTERM or Ctrl-C comes."""
    told = []
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda number, _: told.append(number))
    return told


def draw(folder: Path, snapshot: int, count: int, file: str) -> int:
    """Writes pictures of random latents, uint8 [count, H, W, 3], into an .npz file.

    Args:
        folder: of the training.
        snapshot: number of the saved state.
        count: of pictures.
        file: to write; "average" are those of the moving average, "live" the others.
    """
    import numpy as np

    loader = package().ModelLoader(base_dir=str(folder), name=NAME, load_from=snapshot)
    drawn = {"average": _pictures(loader, count)}
    loader.model.GAN.reset_parameter_averaging()  # the average is now the live one
    drawn["live"] = _pictures(loader, count)
    np.savez(file, **drawn)
    return 0


def _pictures(loader, count: int, batch: int = 50):
    import numpy as np
    import torch

    torch.manual_seed(0)
    parts = []
    with torch.no_grad():
        for start in range(0, count, batch):
            noise = torch.randn(min(batch, count - start), 512)
            images = loader.styles_to_images(loader.noise_to_styles(noise))
            parts.append((images * 255).round().clamp(0, 255).byte().numpy())
    return np.concatenate(parts).transpose(0, 2, 3, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
