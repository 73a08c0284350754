"""Fetch a backbone's pretrained weights from timm's hub, as one file for `train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from witw import files, stage
from witw.cvig.network.timm_backbone import pretrained

VERSION = 1
READS = ("train.backbone",)


def run(spec: dict[str, Any], file: Path) -> None:
    """Write the weights, without the classifier, with timm's tensor names.

    Args:
        spec: ``train.backbone``, a name in timm.
        file: output, .safetensors; its SHA-256 is recorded beside it, see
            :func:`witw.files.same_as_first`.

    Raises:
        UserError: timm has no such weights, the download fails, or the weights have changed.
    """
    name = str(spec["train"]["backbone"])
    tensors = {key: value.contiguous() for key, value in pretrained(name).items()}
    with files.atomic(file) as part:
        save_file(tensors, part)
        digest = files.same_as_first(file, part)
    stage.log.info("%s: %d tensors, sha256 %s", name, len(tensors), digest)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line of the stage."""
    args = stage.arguments("backbone", __doc__, outputs=["file"], argv=argv)
    run(args.spec, args.file)


if __name__ == "__main__":
    stage.execute(main)
