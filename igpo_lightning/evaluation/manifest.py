"""``manifest.json``: what was evaluated, so that no result is read as another's.

The identity is what completions depend on; an evaluation only goes on in a folder with the same one.
Everything else that may be of interest later (versions, machine, batch size) is listed per session.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..checks import ConfigError
from ..data.prompts import PromptFormat
from ..files import write_atomic
from ..models.adapters import chain
from .tables import leaves

FILE = "manifest.json"
_CHUNK = 2**24


@dataclass
class Manifest:
    """The content of the file.

    Attributes:
        identity: Model, prompt, sampler, number format, seed, and per benchmark data and temperature.
        names: The same things as people call them (paths, presets); not compared.
        expected: Benchmark → completions asked for.
        judge: The reward that the verdicts are of.
        sessions: Command, versions, machine, batch size and duration of every run that took part.
    """

    identity: dict[str, Any]
    names: dict[str, str] = field(default_factory=dict)
    expected: dict[str, int] = field(default_factory=dict)
    judge: Any = None
    sessions: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        """Write ``folder/manifest.json``, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder; None if it has none.

        Raises:
            ConfigError: The file is not a manifest.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{path}: not a manifest of an evaluation ({error})") from None

    def joined(self, earlier: Manifest | None, folder: Path) -> Manifest:
        """This manifest with the sessions and the further benchmarks of an earlier one.

        Raises:
            ConfigError: The earlier one is of another model, prompt, sampler, ...: the message says what.
        """
        if earlier is None:
            if foreign := [name for name in ("generations", "results.json") if (folder / name).exists()]:
                raise ConfigError(
                    f"output_dir={folder}: it has {foreign[0]} but no {FILE}, so they are not of an "
                    "evaluation; name another folder"
                )
            return self
        there, now = leaves(earlier.identity), leaves(self.identity)
        common = [key for key in now if key in there or not key.startswith("benchmarks.")]
        if other := [key for key in common if there.get(key) != now[key]]:
            said = "; ".join(
                f"{key} is {_short(there.get(key))} there, {_short(now[key])} now" for key in other
            )
            raise ConfigError(
                f"output_dir={folder}: it holds another evaluation ({said}); name another folder"
            )
        benchmarks = {**earlier.identity["benchmarks"], **self.identity["benchmarks"]}
        return Manifest(
            identity={**self.identity, "benchmarks": benchmarks},
            names={**earlier.names, **self.names},
            expected={**earlier.expected, **self.expected},
            judge=self.judge,
            sessions=earlier.sessions + self.sessions,
        )


def prompt_identity(prompt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> dict[str, str | None]:
    """Hashes of the words around a question: ours, and those of the chat template."""
    template = tokenizer.chat_template
    return {
        "sha256": prompt.sha256,
        "chat_template_sha256": None if not template else hashlib.sha256(str(template).encode()).hexdigest(),
    }


def model_identity(path: str, revision: str | None = None) -> dict[str, Any]:
    """SHA-256 of a model's weight files, and of each adapter's on top of it, lowest first.

    The files' digests are hashed in the order of their names, so a copy under another folder is the
    same model.

    Raises:
        ConfigError: There are no safetensors files.
    """
    base, adapters = chain(path)
    weights = _digest(_local(base, revision if base == path else None))
    return {"sha256": weights, "adapters_sha256": [_digest(Path(folder)) for folder in adapters]}


def _local(path: str, revision: str | None) -> Path:
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download

    # Loading the model has downloaded the files that it has.
    return Path(snapshot_download(path, revision=revision, local_files_only=True))


def _digest(folder: Path) -> str:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"model.path: no safetensors file in {folder}")
    whole = hashlib.sha256()
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        whole.update(digest.digest())
    return whole.hexdigest()


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
