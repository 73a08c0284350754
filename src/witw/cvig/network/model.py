"""A trained network with its metadata, as a file."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch

from witw import torch_files
from witw.cvig.network import model_file
from witw.cvig.network.architecture import Architecture
from witw.cvig.network.towers import Network
from witw.errors import UserError


def device() -> torch.device:
    """Return the GPU if there is one, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Blend:
    """Weights of a cell's two cosines, and the temperature of the scores."""

    weight: float  # weight of the vectors' cosine; the columns' has weight 1
    temperature: float  # of the softmax over cells


@dataclass(frozen=True)
class Model:
    """A trained network with its metadata."""

    network: Network
    temperature: float  # of the softmax over cells, fitted on the validation areas
    epoch: int
    val: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)  # metadata of its file
    vector_weight: float = 0.0  # weight of the vectors' cosine, also fitted

    @property
    def blend(self) -> Blend:
        """Weights and temperature of the cells' scores."""
        return Blend(self.vector_weight, self.temperature)

    @property
    def fingerprint(self) -> str:
        """Return a fingerprint of the network's weights, independent of their file."""
        digest = hashlib.sha256()
        for name, value in sorted(self.network.state_dict().items()):
            # Training changes every part of a tensor, so its beginning is sufficient.
            some = value.detach().flatten()[:256].float().cpu().numpy()
            digest.update(f"{name} {tuple(value.shape)} ".encode() + some.tobytes())
        return digest.hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write the model file, see :mod:`witw.cvig.network.model_file`."""
        facts = {
            **self.facts,
            "architecture": asdict(self.network.shape),
            "temperature": self.temperature,
            "epoch": self.epoch,
            "val": self.val,
            "vector_weight": self.vector_weight,
        }
        model_file.write(path, self.network.state_dict(), facts)

    @classmethod
    def load(cls, path: Path, where: torch.device) -> Self:
        """Read a model file for inference on a device.

        Raises:
            UserError: the file is not a model, or is damaged.
        """
        facts, tensors = model_file.read(path)
        try:
            network = Network(Architecture(**facts["architecture"]))
            network.load_state_dict(tensors)
            rest = (facts["temperature"], facts["epoch"], facts["val"])
            weight = float(facts.get("vector_weight", 0.0))
        except (KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"{path} is a model of another version of witw, {facts.get('written_by')}: install "
                "that, or train anew."
            ) from error
        return cls(network.to(where).eval(), *rest, facts, weight)


def load(path: Path, where: torch.device) -> dict[str, Any]:
    """Read a checkpoint, plain values and tensors; nothing in it is executed.

    Raises:
        UserError: it is not whole.
    """
    try:
        content = torch_files.read(path, where)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise UserError(f"{path} is not a readable checkpoint; delete it and run again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not a readable checkpoint; delete it and run again.")
    return content


def autocast(where: torch.device) -> torch.autocast:
    """Return a context of bfloat16 arithmetic on a GPU; without effect on a CPU."""
    return torch.autocast(where.type, dtype=torch.bfloat16, enabled=where.type == "cuda")
