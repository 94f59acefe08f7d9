"""The rows of the comparison: shared cases where they are, and the crate's own."""

import json
import math
import shutil
import subprocess
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """One labelled pair."""

    id: str
    reference: str
    answer: str
    form: str
    kind: str
    expected: bool
    source: str
    policy: str
    category: str
    line: bytes = field(repr=False, default=b"")


def row(**values):
    """A row with the line that is sent to graders."""
    sent = {name: values[name] for name in ("id", "reference", "answer", "form", "kind")}
    return Row(**values, line=json.dumps(sent, ensure_ascii=False).encode() + b"\n")


def shared(folder):
    """Cases, responses and gold answers of `../shared/data/math-cases`, without the disputed ones."""
    if not folder.exists():
        return [], [], []
    cases = [
        row(
            id=case["id"],
            reference=case["gold"],
            answer=case["pred"],
            form=case["form"],
            kind="choice" if case["kind"] == "choice" else "math",
            expected=case["expected"],
            source=case["source"],
            policy=case["policy"],
            category=case["kind"],
        )
        for case in compressed(folder / "cases.jsonl.zst")
        if not case["disputed"]
    ]
    responses = [
        row(
            id=response["id"],
            reference=response["gold"],
            answer=response["response"],
            form="text",
            kind="math",
            expected=response["expected"],
            source=response["source"],
            policy="responses",
            category="response",
        )
        for response in compressed(folder / "responses.jsonl.zst")
    ]
    golds = [pair(f"gold-{k}", gold["gold"], gold["gold"], True) for k, gold in enumerate(compressed(folder / "golds.jsonl.zst"))]
    return cases, unique(responses), golds


def own(folder):
    """The crate's test rows; those that are meant to be undecided or without answer have no label."""
    found = []
    for file in sorted(folder.glob("*.txt")):
        for number, line in enumerate(file.read_text().split("\n"), 1):
            cells = [cell.strip() for cell in line.split("|")]
            if line.startswith("#") or len(cells) != 4 or cells[2] not in ("correct", "incorrect"):
                continue
            values = pair(f"{file.stem}-{number}", cells[0], cells[1], cells[2] == "correct")
            found.append(row(**{**plain(values), "source": "own", "policy": "own", "category": f"own {file.stem}"}))
    return found


def read(file):
    """Labelled rows of a JSONL file: id, reference, answer, form, expected; perhaps kind, source, policy, category."""
    found = []
    for line in file.read_text().split("\n"):
        if line.strip():
            values = {"kind": "math", "source": file.stem, "policy": file.stem, "category": file.stem, **json.loads(line)}
            found.append(row(**{name: values[name] for name in Row.__dataclass_fields__ if name != "line"}))
    return found


def speed_sets(rows, golds, limit):
    """Rows by what they cost: short pairs that match, that do not, hard forms, responses, long thinking."""
    bare = [r for r in rows if r.form == "bare" and r.policy != "adversarial" and len(r.answer) < 200]
    short = [g for g in golds if len(g.reference) < 60] or [r for r in bare if r.expected]
    matching = [pair(f"same-{k}", g.reference, f" {g.reference} ", True) for k, g in enumerate(short)]
    mismatching = [
        pair(f"other-{k}", a.reference, b.reference, False)
        for k, (a, b) in enumerate(zip(short, short[1:]))
        if a.reference != b.reference
    ]
    responses = [r for r in rows if r.form == "text" and 100 < len(r.answer) < 20_000]
    sets = {"short, matching": matching, "short, mismatching": mismatching, "hard forms": bare}
    if responses:
        sets["responses"] = responses
        words = "\n\n".join(r.answer for r in responses)
        thinking = []
        for k, r in enumerate(responses[:: max(1, len(responses) // 200)]):
            start = k * 7919 % max(1, len(words) - 30_000)
            text = f"<think>{words[start:start + 30_000].replace('think>', 'idea>')}</think>\n{r.answer}"
            thinking.append(row(**{**plain(r), "id": f"thinking-{k}", "answer": text}))
        sets["responses with 30 kB of thinking"] = thinking
    most = limit or 1000
    return {name: members[:: math.ceil(len(members) / most)] for name, members in sets.items() if members}


def pair(name, reference, answer, expected):
    return row(
        id=name,
        reference=reference,
        answer=answer,
        form="bare",
        kind="math",
        expected=expected,
        source="golds",
        policy="golds",
        category="gold",
    )


def plain(of):
    return {name: getattr(of, name) for name in Row.__dataclass_fields__ if name != "line"}


def unique(rows):
    return list({r.id: r for r in rows}.values())


def compressed(file):
    """Rows of a zstd file; they end at a line feed only."""
    if shutil.which("zstd") is None:
        raise SystemExit("the command `zstd` is missing: install the package of that name")
    text = subprocess.run(["zstd", "-dc", file], stdout=subprocess.PIPE, check=True).stdout.decode()
    return [json.loads(line) for line in text.split("\n") if line]
