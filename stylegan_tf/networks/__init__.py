"""The networks: mapping, synthesis, generator, discriminator."""
