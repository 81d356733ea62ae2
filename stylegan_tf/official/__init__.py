"""NVIDIA's official networks: their variables' names, their pickles, ours of them."""


def load_networks(path):
    """G, D and Gs of an official pickle; see `official.networks.load_networks`."""
    from stylegan_tf.official import networks  # which loads TensorFlow

    return networks.load_networks(path)
