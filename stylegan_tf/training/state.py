"""State of a run, saved and restored as one checkpoint.

Weights of G, D and the moving average (w_avg and the noise maps are weights), both
optimizers, the running path length, the augmentation's controller, images seen, stage.
The data position and all random inputs are functions of the seed and the images seen,
so nothing else is state.
"""

import json
from pathlib import Path

import tensorflow as tf

from stylegan_tf.augment.controller import Controller
from stylegan_tf.errors import UserError
from stylegan_tf.files import write_text
from stylegan_tf.training.passes import Networks

KEEP = 2  # checkpoints


class TrainingState:
    """State of a run. Build it in the strategy's scope.

    Args:
        networks: built networks, so that restoring finds every variable.
        path: run directory.
        writes: False on workers that must not write.
        augment: controller of an adaptive augmentation, or None.

    Attributes:
        nimg: images seen.
        stage: `Phase.stage` that the optimizers were last reset for.
        skipped: steps skipped because a gradient was not finite.
        rollbacks: times that the run went back to a checkpoint, with a lower rate.
        seconds: time spent training, over all sessions of the run.
    """

    def __init__(
        self,
        networks: Networks,
        path: Path,
        writes: bool = True,
        augment: Controller | None = None,
    ):
        self.nimg, self.skipped, self.rollbacks, self.seconds = 0, 0, 0, 0.0
        self.stage = (-1, -1)
        self.path, self.writes = path, writes
        self.networks = networks
        self._counts = tf.Variable(tf.zeros([4], tf.int64), trainable=False)
        # Seconds and rollbacks; the second value of older checkpoints is 0.
        self._values = tf.Variable(tf.zeros([2], tf.float64), trainable=False)
        self.augment, parts = augment, {"counts": self._counts, "values": self._values}
        parts |= {k: v for k, v in vars(networks).items() if v is not None}
        if augment:
            zeros = tf.zeros([len(augment.state())], tf.float64)
            parts["augment"] = tf.Variable(zeros, trainable=False)
        self.checkpoint = tf.train.Checkpoint(**parts)
        self.manager = tf.train.CheckpointManager(
            self.checkpoint, str(path / "checkpoints"), max_to_keep=KEEP
        )

    def save(self) -> None:
        """Writes a checkpoint, then `progress.json`; older checkpoints go."""
        self._counts.assign([self.nimg, self.skipped, *self.stage])
        self._values.assign([self.seconds, self.rollbacks])
        if self.augment:
            self.checkpoint.augment.assign(self.augment.state())
        if not self.writes:
            return
        self.manager.save(self.nimg, check_interval=False)
        progress = {"nimg": self.nimg, "seconds": round(self.seconds, 1)}
        write_text(self.path / "progress.json", json.dumps(progress) + "\n")

    def _remedy(self, broken: str) -> str:
        older = [p for p in self.manager.checkpoints if p != broken]
        if not older:
            return "There is no older one; start anew with --resume=never."
        return (
            f"Remove it from {self.path}/checkpoints/checkpoint to go on from "
            f"{Path(older[-1]).name}."
        )

    def restore(self) -> bool:
        """Restores the newest checkpoint.

        Returns:
            False if there is none.

        Raises:
            UserError: the newest checkpoint cannot be read.
        """
        newest = self.manager.latest_checkpoint
        if newest is None:
            return False
        try:
            status = self.checkpoint.restore(newest)
            status.assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
            raise UserError(
                f"checkpoint {newest} does not fit, is damaged or gone: "
                f"{str(error).splitlines()[0]}. {self._remedy(newest)}"
            ) from error
        counts = self._counts.numpy()
        self.nimg, self.skipped = int(counts[0]), int(counts[1])
        self.stage = (int(counts[2]), int(counts[3]))
        seconds, rollbacks = self._values.numpy()
        self.seconds, self.rollbacks = float(seconds), int(rollbacks)
        if self.augment:
            self.augment.restore(self.checkpoint.augment.numpy().tolist())
        return True
