"""What the discriminator sees of a small data set: DiffAugment, ADA, its controller."""
