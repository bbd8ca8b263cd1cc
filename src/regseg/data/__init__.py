"""From image and label files to batches. This package does not depend on models, Hydra or plotting."""

import os

# albumentations checks for a newer version over the network when it is imported, unless this is set before.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
