"""Recipes, a file each: `build(*, setting=default, ...) -> Recipe`; its signature is the help.

Settings of nearly all of them:

    width           channels of the network at half resolution
    lr              learning rate of AdamW (`training.optimizers.adamw`); it warms up over 50
                    steps, and falls to a fiftieth as a cosine
    weight_decay    share of each weight that is taken off a step, times the learning rate
    batch, patch    patches of a step, and their side in pixels
    decay           of the exponential moving average of the weights, which is what is kept
"""
