"""The networks: what an untrained one finds easy to draw is the prior. This room knows no task."""

from untaught.networks.encoder_decoder import PRESETS, EncoderDecoder, NetworkSettings
from untaught.networks.independent import Independent

__all__ = ["PRESETS", "EncoderDecoder", "Independent", "NetworkSettings"]
