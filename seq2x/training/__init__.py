"""Training: fit, optimisers and schedules, averaging. Knows models and batches, no files."""
