"""NVIDIA's official networks: their variables' names, their pickles, ours of them."""
