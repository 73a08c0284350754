"""Is a list complete? Audit, probes and the verdict."""
