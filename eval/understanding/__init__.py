"""Understanding benchmarks, one file each: the reader of the official files, the exact prompts, the pure scorer."""
