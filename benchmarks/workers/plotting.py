"""matplotlib for the figures of benchmarks/, without a screen."""

from types import ModuleType

from stylegan_tf.errors import UserError


def load_pyplot() -> ModuleType:
    """Imports `matplotlib.pyplot`, set to draw into files.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as e:
        raise UserError(
            'figures need matplotlib; run: pip install "stylegan_tf[figures]"'
        ) from e
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
