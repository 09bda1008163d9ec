"""Continual-learning methods: encoder, losses, prototypes, memory and augmentation composed."""
