"""Pictures, clips and other files: read and written so that nothing is lost."""

MAX_PIXELS = 200_000_000  # larger pictures are refused unless asked for
