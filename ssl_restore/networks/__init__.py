"""Networks, a file each: `build(**keywords) -> nn.Module` with a `stride` and a `reach`."""
