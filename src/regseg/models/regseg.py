"""RegSeg: stem, backbone and decoder (Sec. 3)."""

from torch import Tensor, nn

from regseg.models.blocks import upsample_to


class RegSeg(nn.Module):
    """A segmentation network made of a stem, a backbone and a decoder (Sec. 3).

    Attributes:
        config: plain values with which `create_model(**config)` builds the same network; set by `create_model`.
    """

    config: dict[str, object]

    def __init__(self, stem: nn.Module, backbone: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.backbone = backbone
        self.decoder = decoder

    def low_resolution_logits(self, image: Tensor) -> Tensor:
        """Map normalized images to the logits before the last upsampling.

        Args:
            image: (B, 3, H, W); H and W are at least 32.

        Returns:
            Logits (B, num_classes, H/8, W/8); at 1/4 for RegSeg's own decoders.
        """
        x = self.stem(image)  # (B, 32, H/2, W/2)
        return self.decoder(self.backbone(x))  # (B, num_classes, H/8, W/8); at 1/4 for RegSeg's own decoders

    def forward(self, image: Tensor) -> Tensor:
        """Map normalized images (B, 3, H, W) to logits of the same size, (B, num_classes, H, W)."""
        return upsample_to(self.low_resolution_logits(image), image)
