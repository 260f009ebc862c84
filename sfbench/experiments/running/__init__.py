"""Running a study: what is missing, handed out in batches, computed by a pool, committed as it comes back."""
