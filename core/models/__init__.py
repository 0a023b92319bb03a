"""What is trained: architectures, activations, and the model of pixels that both make."""
