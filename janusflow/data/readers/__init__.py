"""One reader a format: what is on disk to samples by number."""
