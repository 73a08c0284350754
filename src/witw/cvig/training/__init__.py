"""Training: trainer, loss, mining, optimizer, checkpoints, several processes."""
