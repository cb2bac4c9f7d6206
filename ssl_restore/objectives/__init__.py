"""Self-supervised losses, a file each: a module called with (Batch, generator) -> named scalars."""
