"""The commands of `toolreeve rollout`."""
