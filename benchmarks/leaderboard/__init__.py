"""The study ``python -m benchmarks.leaderboard``."""
