"""Places365: the stages `scenes` and `weights`, the network and its categories."""
