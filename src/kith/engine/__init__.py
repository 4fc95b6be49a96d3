"""The verbs: submit, apply, query. Every surface uses these and nothing else."""
