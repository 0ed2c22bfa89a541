"""The commands. The only place that knows Hydra and OmegaConf."""
