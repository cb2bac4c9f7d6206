"""Pictures, clips and other files: read and written so that nothing is lost."""
