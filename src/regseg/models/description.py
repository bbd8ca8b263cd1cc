"""The config of a model, the plain values from which it can be created again, and its title."""

from typing import Any

from torch import nn


def config_of(model: nn.Module) -> dict[str, Any]:
    """Return the config of a model created by `create_model`; empty for any other module."""
    config = getattr(model, "config", {})
    assert isinstance(config, dict)
    return config


def title_of(model: nn.Module) -> str:
    """Return the title of a model of `create_model`: "BACKBONE + DECODER", or its name if it has no such parts."""
    config = config_of(model)
    if "backbone" not in config:
        return config["name"]
    backbone = config["backbone"]
    return f"{backbone if isinstance(backbone, str) else 'custom dilations'} + {config['decoder']}"
