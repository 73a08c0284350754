"""Commands beside the workflow: plan, estimate, forget."""
