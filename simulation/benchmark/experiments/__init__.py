"""The experiments: the jobs that each needs, and the result that their records make."""
