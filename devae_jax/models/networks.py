"""The networks a model can be built from: plain dicts, name -> factory.

encoder(image_shape, width, style) -> module, [B, H, W, C] -> features [B, F]
decoder(image_shape, width, style) -> module, [N, D] -> logits [N, H, W, C]

`width` is the number of channels (or units) of the first layer, None the published one.
"""

from collections.abc import Callable

import flax.linen as nn

from devae_jax.models import conv_nets, mlp, residual, resnet
from devae_jax.models.layers import Style

ImageShape = tuple[int, int, int]
Factory = Callable[[ImageShape, int | None, Style], nn.Module]

BLOCKS = ("residual", "resnet50", "resnet14")  # networks of blocks, which can be computed again


def _check(name: str, image_shape: ImageShape, sizes: tuple[int, ...]) -> None:
    height, width, _ = image_shape
    if height != width or height not in sizes:
        raise ValueError(
            f"got images of {height} x {width} pixels, {name!r} takes square images of "
            f"{', '.join(map(str, sizes))} pixels; fix image_size or choose another network"
        )


def _encoder(name, module, width, sizes=None, **kwargs) -> Factory:
    def factory(image_shape, given, style):
        if sizes:
            _check(name, image_shape, sizes)
        return module(width=given or width, style=style, **kwargs)

    return factory


def _decoder(name, module, width, sizes=None, **kwargs) -> Factory:
    def factory(image_shape, given, style):
        if sizes:
            _check(name, image_shape, sizes)
        return module(image_shape=image_shape, width=given or width, style=style, **kwargs)

    return factory


ENCODERS: dict[str, Factory] = {
    "conv": _encoder("conv", conv_nets.ConvEncoder, 32, conv_nets.SIZES),
    "conv_dlib": _encoder("conv_dlib", conv_nets.DlibEncoder, 32, conv_nets.SIZES),
    "mlp": _encoder("mlp", mlp.MlpEncoder, 1200),
    "residual": _encoder("residual", residual.ResidualEncoder, 64, residual.SIZES),
    "resnet50": _encoder("resnet50", resnet.ResNet, 64, resnet.SIZES, depths=resnet.RESNET50),
    "resnet14": _encoder("resnet14", resnet.ResNet, 64, resnet.SIZES, depths=resnet.RESNET14),
}

DECODERS: dict[str, Factory] = {
    "conv": _decoder("conv", conv_nets.ConvDecoder, 32, conv_nets.SIZES),
    "conv_dlib": _decoder("conv_dlib", conv_nets.DlibDecoder, 32, conv_nets.SIZES),
    "mlp": _decoder("mlp", mlp.MlpDecoder, 1200),
    "residual": _decoder("residual", residual.ResidualDecoder, 64, residual.SIZES),
    "mlp_dlib": _decoder("mlp_dlib", mlp.MlpDecoder, 1200, activation="tanh"),
}
