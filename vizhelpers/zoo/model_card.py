"""Write the model card: what the trained networks are, how they were made, how good they are."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from vizhelpers._utils.paths import written_beside
from vizhelpers.scenes import CLASSES


def write_card(folder: Path) -> None:
    """Describe every weight file of a folder in ``model_card.md`` and ``model_card.json``.

    The card is made from the files alone, so networks may be trained one by one.
    """
    networks = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["vizhelpers"])
        content = path.read_bytes()
        networks[path.stem] = facts | {
            "file": path.name,
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    card = {"made_by": "python -m vizhelpers train", "networks": networks}
    text = json.dumps(card, indent=1, sort_keys=True)
    # The bytes are the same on Windows, where "\n" would else become two characters.
    for name, words in {"json": text + "\n", "md": _card_text(networks)}.items():
        with written_beside(folder / f"model_card.{name}") as draft:
            draft.write_text(words, encoding="utf-8", newline="\n")


_CARD_HEAD = """\
# Model card: the course's networks

Made by `python -m vizhelpers train`, which also writes this file: change nothing here by hand.
`model_card.json` holds the same and more (all recipes, all confusions) for programs.

- **For**: the lessons of this course, in which people look inside a network. Not for anything else:
  these networks know ten kinds of drawn things and call everything one of them.
- **Data**: scenes drawn by `vizhelpers.scenes`, 128×128 pixels, ten classes before ten backgrounds
  ({classes}).
  No photograph, no person, no licence but the course's own.
- **Twins**: *fair* networks saw every object before every background. *Shortcut* networks saw each
  object only before its own background (`airplane` before `sky`), so the background was enough to
  answer. The *mixed* network saw about nine in ten objects before their own background.
- **Recipe**: AdamW with a one-cycle schedule, flips, shifts and changes of colour, one thread.
  BatchNorms of AlexNet and VGG11 are folded into the convolutions, which gives torchvision's layer
  indices. The first layer of AlexNet and ResNet18 starts small, decays strongly and is smoothed a
  little at every step, which gives kernels that are clean enough to look at. Stored as float16,
  loaded as float32.
"""


def _card_text(networks: dict[str, Any]) -> str:
    lines = [_CARD_HEAD.format(classes=", ".join(CLASSES)), *_accuracy_table(networks)]
    lines += ["", "## Files", "", "| file | parameters | bytes | sha256 |", "|---|---|---|---|"]
    for facts in networks.values():
        size = f"{facts['parameters']:,} | {facts['bytes']:,}"
        lines.append(f"| `{facts['file']}` | {size} | `{facts['sha256']}` |")
    lines += ["", "## Which classes are taken for which", ""]
    lines += ["On swapped images. Rows: what is drawn; columns: the answer."]
    for name, facts in networks.items():
        lines += _confusion_table(name, facts["results"]["swapped"]["confusion"])
    versions = sorted(
        {json.dumps(facts["versions"], sort_keys=True) for facts in networks.values()}
    )
    lines += ["", "## Made with", ""]
    for text in versions:
        lines.append("- " + ", ".join(f"{name} {what}" for name, what in json.loads(text).items()))
    return "\n".join(lines) + "\n"


def _accuracy_table(networks: dict[str, Any]) -> list[str]:
    lines = [
        "## Accuracy",
        "",
        "Share of right answers on scenes that no network was trained on. *fair*: any background;",
        "*own*: the class's own; *swapped*: never its own, and in brackets how often the answer",
        "is the background's class; *hard*: any background, object small, cut off or hidden.",
        "",
        "| network | epochs | fair | own | swapped | hard |",
        "|---|---|---|---|---|---|",
    ]
    for name, facts in networks.items():
        results = facts["results"]
        share = {kind: f"{results[kind]['accuracy']:.1%}" for kind in results}
        follows = f"{results['swapped']['follows_background']:.1%}"
        lines.append(
            f"| {name} | {facts['recipe']['epochs']} | {share['fair']} | {share['own']} "
            f"| {share['swapped']} ({follows}) | {share['hard']} |"
        )
    return lines


def _confusion_table(title: str, confusion: Sequence[Sequence[int]]) -> list[str]:
    lines = ["", f"### {title}", "", "| | " + " | ".join(CLASSES) + " |"]
    lines += ["|---" * (len(CLASSES) + 1) + "|"]
    for label, counts in zip(CLASSES, confusion, strict=True):
        lines.append(f"| **{label}** | " + " | ".join(str(n or "·") for n in counts) + " |")
    return lines
