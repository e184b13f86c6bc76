"""``manifest.json``: what was evaluated, so that no result is read as another's.

The identity is what completions depend on; an evaluation only goes on in a folder with the same one.
Everything else that may be of interest later (versions, machine, batch size) is listed per session.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from transformers import PreTrainedTokenizerBase
from transformers.utils import flatten_dict

from ..checks import ConfigError
from ..data.prompts import PromptFormat
from ..files import write_atomic
from ..models.adapters import chain

FILE = "manifest.json"
_CHUNK = 2**24


@dataclass
class Manifest:
    """The content of the file."""

    identity: dict[str, Any]  # model, prompt, sampler, number format, seed; data, temperature of benchmarks
    names: dict[str, str] = field(default_factory=dict)  # what people call these things; not compared
    expected: dict[str, int] = field(default_factory=dict)  # benchmark → completions asked for
    asked: dict[str, dict[str, int]] = field(default_factory=dict)  # benchmark → number of its last problem
    # and samples of each, of the command that asked for it last; its folder may hold more
    judge: Any = None  # the reward that the verdicts are of
    sessions: list[dict[str, Any]] = field(default_factory=list)  # command, versions, machine, duration, …

    @property
    def short(self) -> str:
        """Name of this model, prompt, sampler and seed: the same command finds its default folder again."""
        common = {key: value for key, value in self.identity.items() if key != "benchmarks"}
        return hashlib.sha256(json.dumps(common, sort_keys=True).encode()).hexdigest()[:8]

    def covers(self, benchmark: str, problem: int, sample: int) -> bool:
        """True of a completion that the last command asked for; an older version's file says it of all."""
        bounds = self.asked.get(benchmark)
        return bounds is None or (problem <= bounds["last"] and sample < bounds["samples"])

    def save(self, folder: Path) -> None:
        """Write ``folder/manifest.json``, whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / FILE, json.dumps(asdict(self), indent=2) + "\n")

    def check(self) -> None:
        """Refuse what a file may have in the places of these fields.

        Raises:
            TypeError: Naming the field.
        """
        for name in ("identity", "names", "expected", "asked"):
            if not isinstance(getattr(self, name), dict):
                raise TypeError(f"{name} is no object")
        if not isinstance(self.identity.get("benchmarks"), dict) or not isinstance(self.sessions, list):
            raise TypeError("identity.benchmarks is no object, or sessions no list")
        numbers = [*self.expected.values()]
        numbers += [bounds[name] for bounds in self.asked.values() for name in ("last", "samples")]
        if not all(type(number) is int for number in numbers):
            raise TypeError("expected and asked hold more than numbers")

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
            made = cls(**json.loads(path.read_text(encoding="utf-8")))
            made.check()
            return made
        except (TypeError, ValueError, LookupError) as error:
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
        there, now = flatten_dict(earlier.identity), flatten_dict(self.identity)
        other = [
            f"{key} is {_short(there.get(key))} there, {_short(now[key])} now"
            for key in now
            if (key in there or not key.startswith("benchmarks.")) and there.get(key) != now[key]
        ]
        if other:
            raise ConfigError(
                f"output_dir={folder}: it holds another evaluation ({'; '.join(other)}); name another folder"
            )
        benchmarks = {**earlier.identity["benchmarks"], **self.identity["benchmarks"]}
        return replace(
            self,
            identity={**self.identity, "benchmarks": benchmarks},
            names={**earlier.names, **self.names},
            expected={**earlier.expected, **self.expected},
            asked={**earlier.asked, **self.asked},
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
    folder = Path(base).expanduser()
    if not folder.is_dir():  # loading the model has downloaded the files that it has
        revision = revision if base == path else None
        folder = Path(snapshot_download(base, revision=revision, local_files_only=True))
    return {"sha256": _digest(folder), "adapters_sha256": [_digest(Path(adapter)) for adapter in adapters]}


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
