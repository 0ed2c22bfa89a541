"""The commands; only this package knows Hydra and OmegaConf."""
