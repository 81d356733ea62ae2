"""Feature networks that were published as files: Inception (2015), VGG16 with LPIPS.

Nothing here comes with the package: the user gives a path or a URL, and every network
has a name that goes with the numbers made with it. See `inception` and `lpips`.
"""


def load_inception(path, cache=None):
    """The network of the published FIDs; see `inception.load`."""
    from stylegan_tf.metrics.published import inception  # which loads TensorFlow

    return inception.load(path, cache)


def load_lpips(path, cache=None):
    """The perceptual distance of the published PPLs; see `lpips.load`."""
    from stylegan_tf.metrics.published import lpips  # which loads TensorFlow

    return lpips.load(path, cache)
