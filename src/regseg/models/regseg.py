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

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)  # (B, 32, H/2, W/2)
        logits = self.decoder(self.backbone(x))  # (B, num_classes, H/8, W/8); at 1/4 for RegSeg's own decoders
        return upsample_to(logits, image)
