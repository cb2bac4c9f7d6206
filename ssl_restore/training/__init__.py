"""From pictures to a restorer: the loop, its data, run folders and checkpoints."""
