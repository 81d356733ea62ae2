"""State of a run, saved and restored as one checkpoint.

Weights of G, D and the moving average (w_avg and the noise maps are weights), both
optimizers, the running path length, the augmentation's controller, images seen, stage.
The data position and all random inputs are functions of the seed and the images seen,
so nothing else is state.
"""

import contextlib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from stylegan_tf import checkpoints, devices, files
from stylegan_tf import config as configs
from stylegan_tf.augment.controller import Controller
from stylegan_tf.checkpoints import Checkpoint
from stylegan_tf.config import TrainConfig
from stylegan_tf.errors import DiskError, UserError
from stylegan_tf.training.passes import Networks

_UNREADABLE = (tf.errors.OpError, OSError, AssertionError, ValueError, LookupError)


class TrainingState:
    """State of a run. Build it in the strategy's scope.

    Args:
        networks: built networks, so that restoring finds every variable.
        path: run directory.
        writes: False on workers that must not write.
        augment: controller of an adaptive augmentation, or None.
        facts: JSON values that every checkpoint records. `config` and `data` are
            fingerprints: a checkpoint with others is refused.
        settle: brings the networks' variables up to date, before they are saved or
            restored.

    Attributes:
        nimg: images seen.
        stage: `Phase.stage` that the optimizers were last reset for.
        skipped: steps skipped because a gradient was not finite.
        rollbacks: times that the run went back to a checkpoint, with a lower rate.
        seconds: time spent training, over all sessions of the run.
        notices: sentences about what restoring has found, for the log.
    """

    def __init__(
        self,
        networks: Networks,
        path: Path,
        writes: bool = True,
        augment: Controller | None = None,
        facts: Mapping[str, object] | None = None,
        settle: Callable[[], None] = lambda: None,
    ):
        self.nimg, self.skipped, self.rollbacks, self.seconds = 0, 0, 0, 0.0
        self.stage = (-1, -1)
        self.path, self.writes = path, writes
        self.networks, self._settle = networks, settle
        self.facts = dict(facts or {})
        self.notices: list[str] = []
        self._counts = tf.Variable(tf.zeros([4], tf.int64), trainable=False)
        # Seconds and rollbacks; the second value of older checkpoints is 0.
        self._values = tf.Variable(tf.zeros([2], tf.float64), trainable=False)
        self.augment, parts = augment, {"counts": self._counts, "values": self._values}
        parts |= {k: v for k, v in vars(networks).items() if v is not None}
        if augment:
            zeros = tf.zeros([len(augment.state())], tf.float64)
            parts["augment"] = tf.Variable(zeros, trainable=False)
        self.checkpoint = tf.train.Checkpoint(**parts)

    def shown_facts(self) -> dict[str, str]:
        """Returns the images seen and the fingerprints, as texts for a picture."""
        facts = {k: str(self.facts[k]) for k in ("config", "data") if k in self.facts}
        return {"nimg": str(self.nimg), **facts}

    # -----------------------------------------------------------------------

    def save(self) -> None:
        """Writes a checkpoint, then `progress.json`; older checkpoints go.

        Raises:
            DiskError: the disk is full or broken. The checkpoints before are whole.
        """
        self._settle()
        self._counts.assign([self.nimg, self.skipped, *self.stage])
        self._values.assign([self.seconds, self.rollbacks])
        if self.augment:
            self.checkpoint.augment.assign(self.augment.state())
        if not self.writes:
            return
        try:
            self._write()
        except (OSError, tf.errors.OpError) as error:
            raise DiskError(self._unsaved(error)) from error
        finally:
            checkpoints.drop_draft(self.path)
        with contextlib.suppress(OSError):  # the checkpoint says the same
            checkpoints.write_progress(self.path, self.nimg, self.seconds)

    def _write(self) -> None:
        draft = checkpoints.new_draft(self.path, self.nimg)
        with files.plain_alias(draft.folder) as folder:
            prefix = str(folder / draft.prefix.name)
            self.checkpoint.save_counter  # noqa: B018, creates what restoring expects
            self.checkpoint.write(prefix)
            read_back(prefix)
        seconds = round(self.seconds, 1)
        checkpoints.keep_draft(self.path, draft, self.facts | {"seconds": seconds})

    def _unsaved(self, error: Exception) -> str:
        why = files.disk_trouble(error) or str(error).splitlines()[0]
        safe = checkpoints.newest_checkpoint(self.path)
        rest = f"{safe.prefix.name} is whole" if safe else "there is none before it"
        return (
            f"{self.path}: the checkpoint at {self.nimg:,} images could not be "
            f"written: {why}; {rest}."
        )

    # -----------------------------------------------------------------------

    def restore(self, nimg: int | None = None) -> bool:
        """Restores the newest checkpoint that is whole; `notices` names the others.

        Args:
            nimg: the images that it has seen, to restore this one or none.

        Returns:
            False if the run has never saved one.

        Raises:
            UserError: none can be read, though the run had some; or the newest one is
                of other settings or data.
        """
        skipped: list[str] = []
        self.notices = []
        self._settle()
        for checkpoint in checkpoints.list_checkpoints(self.path):
            if nimg not in (None, checkpoint.nimg):
                continue
            trouble = checkpoint.damage()
            if not trouble:
                self._check_origin(checkpoint)
                trouble = self._read(checkpoint)
            if not trouble:
                self._note(checkpoint, skipped)
                return True
            skipped.append(f"{checkpoint.prefix.name} was skipped: {trouble}.")
        if nimg is not None:
            why = " ".join(skipped) or "it is not there"
            raise UserError(
                f"{self.path}: this worker cannot read the checkpoint at {nimg:,} "
                f"images, which the first worker goes on from: {why}. Is --out on "
                f"storage that all workers see?"
            )
        self._check_new(skipped)
        return False

    def restore_together(self, strategy: tf.distribute.Strategy) -> bool:
        """Restores the checkpoint that the chief restores, on all workers.

        Raises:
            UserError: on all of them, if one cannot read it.
        """
        nothing, failed = -1, 0
        if devices.num_workers(strategy) == 1:
            return self.restore()
        chief = devices.is_chief(strategy)
        found, error = False, None
        try:
            if chief:
                found = self.restore()
        except UserError as e:
            error = e
        mine = failed if error else self.nimg + 1 if found else nothing
        chosen = devices.chief_value(strategy, mine)
        try:
            if not chief and chosen > failed:
                found = self.restore(chosen - 1)
        except UserError as e:
            error = e
        lost = devices.sum_over_replicas(strategy, float(error is not None))
        if error:
            raise error
        if lost:
            raise UserError(
                "another worker cannot read the checkpoint that the run goes on from; "
                "its own message tells why."
            )
        return found

    def _check_origin(self, checkpoint: Checkpoint) -> None:
        """Refuses a checkpoint of another run, whose networks may well fit."""
        record = checkpoint.record()
        if isinstance(settings := record.get("settings"), dict):
            with contextlib.suppress(UserError):  # by what must not change today
                known = configs.from_dict(TrainConfig, settings)
                record["config"] = configs.settings_fingerprint(known)
        for name, what in (("data", "other pictures"), ("config", "other settings")):
            theirs, ours = record.get(name), self.facts.get(name)
            if theirs and ours and theirs != ours:
                raise UserError(
                    f"{checkpoint.prefix} is of {what} than this run: their "
                    f"fingerprint is {theirs}, here {ours}. Move its files away, or "
                    f"give --init={shlex.quote(str(checkpoint.prefix))} to start a run "
                    f"from it."
                )

    def _read(self, checkpoint: Checkpoint) -> str | None:
        """Fills the networks; returns why that failed, or None."""
        try:
            with files.plain_alias(checkpoint.folder) as folder:
                status = self.checkpoint.restore(str(folder / checkpoint.prefix.name))
                status.assert_existing_objects_matched()
        except _UNREADABLE as error:
            return f"it is damaged or does not fit ({str(error).splitlines()[0]})"
        counts = self._counts.numpy()
        if counts[0] != checkpoint.nimg:
            return f"it is the state at {counts[0]:,} images, under another name"
        self.nimg, self.skipped = int(counts[0]), int(counts[1])
        self.stage = (int(counts[2]), int(counts[3]))
        seconds, rollbacks = self._values.numpy()
        self.seconds, self.rollbacks = float(seconds), int(rollbacks)
        if self.augment:
            self.augment.restore(self.checkpoint.augment.numpy().tolist())
        return None

    def _note(self, checkpoint: Checkpoint, skipped: list[str]) -> None:
        """Says what was skipped and is trained again; mends `progress.json`."""
        reached = checkpoints.saved_progress(self.path)
        lost = (reached or 0) - self.nimg
        self.notices = skipped
        if skipped or lost > 0:
            text = f"The run goes on from {checkpoint.prefix.name}"
            if lost > 0:
                text += f": {lost:,} images are lost, and trained again"
            self.notices = [*skipped, f"{text}."]
        if self.writes and reached != self.nimg:
            with contextlib.suppress(OSError):
                checkpoints.write_progress(self.path, self.nimg, self.seconds)

    def _check_new(self, skipped: list[str]) -> None:
        """Refuses to start again what was trained before."""
        reached = checkpoints.saved_progress(self.path)
        if not skipped and not reached:
            return
        said = f"{self.path} has seen {reached:,} images" if reached else f"{self.path}"
        raise UserError(
            f"{said}, but has no checkpoint that can be read. {' '.join(skipped)} "
            f"Bring {self.path / checkpoints.FOLDER} back from a copy, or start anew "
            f"with --resume=never."
        )


def read_back(prefix: str) -> None:
    """Reads every tensor of a checkpoint, whose checksums TensorFlow compares.

    Raises:
        tf.errors.OpError: a tensor is not what was written.
    """
    reader = tf.train.load_checkpoint(prefix)
    for name in reader.get_variable_to_shape_map():
        reader.get_tensor(name)
