"""A restorer as an ONNX model, for programs without Python.

    restored = crop(clamp(restorer(pad(image))))

The model takes `input` (1, 3, height, width), float32 display values, of any size from `LEAST_PX`
on, and gives `output` (1, 3, scale height, scale width). It pads the picture to what the network
needs and takes off what was added. A restorer that looks at the whole picture first does so inside.
What a program should know is in its metadata: task, scale, channel order, the network's stride, and
how far it sees: tiles with so many pixels around them come out as the whole picture does, except
where `overview_px` says that the whole picture is needed.

Reference: ONNX operator set 18, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.onnx import utils

from ssl_restore.errors import UserError
from ssl_restore.inference.tiles import restore_tensor, to_multiple
from ssl_restore.io.files import replacing
from ssl_restore.io.locks import only_run
from ssl_restore.networks.overview import sampled
from ssl_restore.restorer import Restorer

OPERATORS = 18  # version of the operator set
LEAST_PX = 32  # sides of a picture: padding by reflection needs some
TRACED_PX = (50, 70)  # no multiple of any stride, so that all of the padding is recorded
CHECKED_PX = ((64, 64), (97, 33), (120, 210))
TOLERANCE = 1e-4


def export(restorer: Restorer, path: Path, *, weights: str = "") -> float:
    """Write an ONNX model and compare it with the restorer in ONNX Runtime.

    Args:
        restorer: On the CPU.
        path: The file, which ends in .onnx; replaced when all went well.
        weights: What the metadata say of where the weights come from.

    Returns:
        The largest difference of the two over pictures of three sizes, display units.

    Raises:
        UserError: Where the packages are missing, the network has operators that ONNX lacks, or the
            model does not compute what the restorer does.
    """
    onnx, runtime = (_package(name) for name in ("onnx", "onnxruntime"))
    model = _AnySize(restorer)
    with replacing(path) as temporary:
        with _quiet(), _symbolics():
            try:
                torch.onnx.export(
                    model, (torch.rand(1, 3, *TRACED_PX),), str(temporary), dynamo=False,
                    opset_version=OPERATORS, input_names=["input"], output_names=["output"],
                    dynamic_axes={
                        "input": {2: "height", 3: "width"},
                        "output": {2: "scaled height", 3: "scaled width"},
                    },
                )  # fmt: skip
            except (torch.onnx.OnnxExporterError, RuntimeError, TypeError) as error:
                raise _cannot(restorer, error) from error
        written = onnx.load(temporary)
        onnx.helper.set_model_props(written, metadata(restorer, weights))
        onnx.save(written, temporary)
        difference = _difference(runtime, temporary, restorer)
        if not difference <= TOLERANCE:
            raise UserError(
                f"{path}: the model differs from the restorer by {difference:.1e}; not written"
            )
    return difference


def metadata(restorer: Restorer, weights: str) -> dict[str, str]:
    """What the model says of itself, as text."""
    told = {
        "task": restorer.task, "scale": restorer.scale, "stride": restorer.stride,
        "reach_px": restorer.reach, "overview_px": restorer.overview_px or "",
        "network": type(restorer.core).__name__, "weights": weights, "channels": "RGB",
        "range": "0 to 1, display values", "least_px": LEAST_PX, "producer": "ssl-restore",
    }  # fmt: skip
    return {name: str(value) for name, value in told.items()}


def darktable(restorer: Restorer, folder: Path, *, weights: str = "") -> float:
    """A folder for darktable's neural restore: `model.onnx` and `config.json`; as `export`.

    It offers the model among those that denoise, and runs it in tiles that overlap by 64 px.
    """
    if restorer.scale != 1 or restorer.overview_px is not None:
        raise UserError(
            f"darktable runs a model in tiles, at the same size; one of the task {restorer.task} "
            "cannot be run so"
        )
    config = {
        "id": folder.name, "name": f"ssl-restore {restorer.task}", "task": "denoise",
        "description": f"{restorer.task} by ssl-restore ({weights})", "version": "1.0",
        "backend": "onnx", "num_inputs": 1, "tiling": True,
    }  # fmt: skip
    with only_run(folder):  # which removes it again where nothing was written
        difference = export(restorer, folder / "model.onnx", weights=weights)
        with replacing(folder / "config.json") as temporary:
            temporary.write_text(json.dumps(config, indent=2) + "\n")
    return difference


class _AnySize(nn.Module):
    """A restorer with padding, cropping and its look at the whole picture, in operators of ONNX."""

    def __init__(self, restorer: Restorer) -> None:
        super().__init__()
        self.restorer = restorer.folded().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        restorer, maps = self.restorer, tuple[Tensor, ...]()
        if restorer.overview_px is not None:
            seen = restorer.overview(_shrunk(image, restorer.overview_px))
            window = sampled(seen, (height, width), (0, height), (0, width))
            maps = (to_multiple(window, restorer.stride),)
        output: Tensor = restorer(to_multiple(image, restorer.stride), *maps)
        return output[..., : restorer.scale * height, : restorer.scale * width].clamp(0, 1)


def _shrunk(image: Tensor, longest: int) -> Tensor:
    """As `networks.overview.shrunk`, of a size that is known when the model runs."""
    height, width = (torch.as_tensor(side) for side in image.shape[-2:])
    scale = (longest / torch.maximum(height, width).double()).clamp(max=1)
    rows, columns = (
        _area(side, (scale * side).round().clamp(min=1).long()) for side in (height, width)
    )
    return rows @ image @ columns.T


def _area(old: Tensor, new: Tensor) -> Tensor:
    """The matrix (new, old) that averages so many pixels down to fewer, as areas overlap."""
    to = torch.arange(new)[:, None]  # type: ignore[call-overload]
    pixel = torch.arange(old)  # type: ignore[call-overload]
    covered = (pixel >= to * old // new) & (pixel < ((to + 1) * old + new - 1) // new)
    shares = covered.float()
    return shares / shares.sum(dim=1, keepdim=True)


def _difference(runtime: ModuleType, path: Path, restorer: Restorer) -> float:
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    differences = []
    for size in CHECKED_PX:
        coarse = torch.rand(1, 3, 5, 7, generator=generator)
        image = F.interpolate(coarse, size, mode="bilinear")
        image = image + 0.1 * torch.rand(image.shape, generator=generator)
        (output,) = session.run(None, {"input": image.numpy()})
        expected = restore_tensor(restorer, image, tile=0, precision="fp32").clamp(0, 1)
        differences.append(np.abs(output - expected.numpy()).max())
    return float(np.max(differences))  # not a number where one is none


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"export needs the package {name}; install it with: pip install 'ssl-restore[export]'"
        ) from error


def _cannot(restorer: Restorer, error: Exception) -> UserError:
    name, reason = type(restorer.core).__name__, " ".join(str(error).split())[:200]
    return UserError(f"the network {name} cannot be exported to ONNX: {reason}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: that a size is recorded as a number is checked by result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _symbolics() -> Iterator[None]:
    """Operators that the exporter lacks, by others."""

    def constant(graph: Any, value: float) -> Any:
        return graph.op("Constant", value_t=torch.tensor(value))

    def expm1(graph: Any, x: Any) -> Any:
        return graph.op("Sub", graph.op("Exp", x), constant(graph, 1.0))

    def logit(graph: Any, x: Any, eps: Any) -> Any:
        return graph.op("Log", graph.op("Div", x, graph.op("Sub", constant(graph, 1.0), x)))

    own: Sequence[tuple[str, Any]] = (("aten::expm1", expm1), ("aten::logit", logit))
    for name, symbolic in own:
        utils.register_custom_op_symbolic(name, symbolic, OPERATORS)
    try:
        yield
    finally:
        for name, _ in own:
            utils.unregister_custom_op_symbolic(name, OPERATORS)
