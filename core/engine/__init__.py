"""What attacks are made of: the model under attack, batches, losses, geometry. Knows no attack by name."""
