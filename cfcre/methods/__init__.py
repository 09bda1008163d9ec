"""Continual-learning methods as compositions of encoder, losses, prototypes, memory, augmentation."""
