"""RegSeg = stem + backbone + decoder."""

from torch import Tensor, nn

from regseg.models.blocks import upsample_to


class RegSeg(nn.Module):
    """Stem, backbone, decoder (Sec. 3): (B, 3, H, W) -> logits (B, num_classes, H, W), for every H and W from 32 up."""

    def __init__(self, stem: nn.Module, backbone: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.backbone = backbone
        self.decoder = decoder

    def low_resolution_logits(self, image: Tensor) -> Tensor:
        """The logits before the last upsampling, at 1/4 or 1/8: (B, 3, H, W) -> (B, num_classes, H/4, W/4)."""
        x = self.stem(image)  # (B, 32, H/2, W/2)
        return self.decoder(self.backbone(x))  # (B, num_classes, H/8, W/8); at 1/4 for RegSeg's own decoders

    def forward(self, image: Tensor) -> Tensor:
        return upsample_to(self.low_resolution_logits(image), image)
