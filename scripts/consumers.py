"""Do trainers eat what is exported? Loads every format with `datasets`, and trains a tiny student on some of them.

    python scripts/consumers.py [--python VENV/bin/python] [--llama-factory VENV/bin/python]

Without `--python`, an environment is made in `target/consumers` and TRL is installed into it (some gigabytes with torch).
The export is made by the real binary (`--gradus`) with its mock server. Prints a table with versions; exit code 1 if
something fails. `just consumers` runs it; it is no part of the tests.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["trl>=1.16,<2", "transformers>=5.2,<6", "datasets>=4.7", "accelerate>=1.10.1", "peft>=0.18"]
# Formats whose trainers want a GPU: their data is loaded, no more.
NOT_RUN = {"axolotl": "axolotl", "stepwise": "axolotl", "verl_sft": "verl", "verl": "verl", "openrlhf": "OpenRLHF"}

# Runs in the environment of the trainers: loads a format both ways and says what it found.
LOAD = """
import json, sys
from datasets import load_dataset
export, name = sys.argv[1:]
card = load_dataset(export, name, split="train")
lines = load_dataset("json", data_files=f"{export}/{name}/train.jsonl", split="train")
assert len(card) == len(lines) > 0, (len(card), len(lines))
assert set(card.column_names) == set(lines.column_names), (card.column_names, lines.column_names)
def plain(value):
    # What a JSON file lacks, its reader fills with nulls, or leaves out.
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None}
    return [plain(item) for item in value] if isinstance(value, list) else value
assert all(plain(a) == plain(b) for a, b in zip(card, lines)), "rows differ"
print(json.dumps({"rows": len(card)}))
"""

VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Table:
    """What was tried, and what came of it."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str, str]] = []

    def add(self, what: str, where: str, state: str, detail: str = "") -> None:
        self.rows.append((what, where, state, detail))
        print(f"{state:>8}  {what}: {where}{'; ' if detail else ''}{detail}", file=sys.stderr, flush=True)

    def attempt(self, what: str, where: str, command: list, **options) -> subprocess.CompletedProcess | None:
        """Runs a command; its failure is a row, its success is for the caller to tell."""
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
        if done.returncode == 0:
            return done
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        self.add(what, where, "FAIL", f"exit code {done.returncode}: {said[-1] if said else ''}")
        print(done.stderr[-4000:], file=sys.stderr)
        return None

    def show(self) -> int:
        print("| data | consumer | | |")
        print("|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
        return sum(state == "FAIL" for _, _, state, _ in self.rows)


def environment(folder: Path) -> Path:
    """A Python with TRL and the verifier's wheel."""
    python = folder / "bin/python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES, "maturin"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT / "crates/gradus-verify-py"], check=True)
    return python


def versions(python: Path, *packages: str) -> str:
    done = subprocess.run([python, "-c", VERSIONS, *packages], capture_output=True, text=True, check=True)
    return ", ".join(f"{name} {version}" for name, version in json.loads(done.stdout).items())


def settings(gradus: Path) -> dict:
    """The schema of the export's settings, by name."""
    schema = json.loads(subprocess.run([gradus, "config", "schema"], capture_output=True, text=True, check=True).stdout)
    definitions = schema["$defs"]
    formats = definitions["Format"]
    names = formats.get("enum") or [one["const"] for one in formats["oneOf"]]
    return {"formats": names, "keys": set(definitions["Export"]["properties"])}


def export(gradus: Path, folder: Path, student: Path) -> tuple[Path, list[str]]:
    """A run of the built-in bank with the mock server, exported in every format that it has."""
    known = settings(gradus)
    chosen = {"training": "omnithought"}
    if "lint" in known["keys"]:
        chosen["lint"] = {"student_files": str(student)}
    if "stepwise" in known["keys"]:
        chosen["stepwise"] = {"correct": True}
    chosen["formats"] = [name for name in known["formats"] if name != "trl_text" or "lint" in chosen]
    mock = subprocess.Popen(
        [gradus, "mock", "--port", "0", "--model", "pupil", "--model", "teacher"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )
    try:
        url = mock.stdout.readline().strip()
        config = {
            "bank": [{"path": "code.jsonl", "kind": "code"}, {"path": "builtin", "license": "MIT OR Apache-2.0"}],
            "limit": 60,
            "student": f"openai:{url}#pupil",
            "teacher": f"openai:{url}#teacher",
            "probe": {"attempts": 3, "sampling": {"max_tokens": 64}},
            "grade": {"grader": "pass_rate"},
            # Some wrong chains of thought are wanted too, for pairs and labels.
            "distil": {"correct": 3, "tries": 6},
            "export": chosen,
        }
        # The built-in bank tests programs by asserts alone; some formats want pairs of input and output.
        tests = {"type": "stdin", "cases": [{"input": "2\n", "output": "4\n"}, {"input": "5\n", "output": "10\n"}]}
        code = {"id": "double", "kind": "code", "question": "Read a number and print its double.", "tests": tests}
        (folder / "code.jsonl").write_text(json.dumps(code) + "\n")
        # JSON is YAML.
        (folder / "gradus.yaml").write_text(json.dumps(config))
        ran = subprocess.run([gradus, "run", "--quiet"], cwd=folder, stdout=subprocess.DEVNULL)
        # 3: some questions were lost, which the mock sees to; the rest is there.
        if ran.returncode not in (0, 3):
            sys.exit(f"error: `gradus run` ended with exit code {ran.returncode}")
    finally:
        mock.terminate()
        mock.wait()
    return folder / "gradus-run", chosen["formats"]


def load(table: Table, python: Path, run: Path, formats: list[str]) -> None:
    where = versions(python, "datasets")
    for name in formats:
        done = table.attempt(name, where, [python, "-c", LOAD, run / "export", name])
        if done:
            n_rows = json.loads(done.stdout.splitlines()[-1])["rows"]
            table.add(name, where, "pass", f"{n_rows} rows, Parquet and JSONL alike")


def losses(stdout: str) -> str:
    summary = json.loads(stdout.splitlines()[-1])
    first, last = summary["first_loss"], summary["last_loss"]
    return f"{summary['steps']} steps" + ("" if first is None else f", loss {first:.3f} to {last:.3f}")


def train_with_trl(table: Table, args, run: Path, student: Path, folder: Path, formats: list[str]) -> None:
    where = versions(args.python, "trl", "transformers", "torch", "gradus-verify")
    steps = ["--max-steps", args.steps]
    few = ["--batch", 4, "--accumulation", 1, "--generations", 4, "--max-answer", 16]
    for script, name, more in [
        ("sft", "trl", ["--learning-rate", "1e-3"]),
        ("sft", "trl", ["--lora"]),
        ("dpo", "dpo", []),
        ("grpo", "trl_grpo", few),
    ]:
        if name not in formats:
            continue
        what = " ".join([name, *(part for part in more if part == "--lora")])
        command = [args.gradus, "train", "--run-dir", run, "--script", script, "--python", args.python, "--json"]
        out = folder / f"trained-{script}{len(more)}"
        done = table.attempt(what, where, [*command, "--model", student, "--out", out, "--", *steps, *more])
        if done and not (out / "model.safetensors").exists():
            table.add(what, where, "FAIL", "no model was written")
        elif done:
            table.add(what, where, "pass", losses(done.stdout))
    for name, script in [("trl_text", "train_sft.py"), ("kto", "train_kto.py")]:
        if name in formats:
            command = [args.python, run / "export" / name / script, "--model", student, "--out", folder / name, *steps]
            if table.attempt(name, where, command):
                table.add(name, where, "pass", f"{args.steps} steps")


def train_with_llama_factory(table: Table, args, run: Path, student: Path, folder: Path, formats: list[str]) -> None:
    for name, script in [("llama_factory", "sft.yaml"), ("dpo_llama_factory", "dpo.yaml")]:
        if name not in formats:
            continue
        if args.llama_factory is None:
            table.add(name, "LLaMA-Factory", "not run", "`--llama-factory` names no Python that has it")
            continue
        where = versions(args.llama_factory, "llamafactory", "transformers", "datasets")
        # The tiny student speaks chatml, and has no GPU.
        told = [f"model_name_or_path={student}", f"output_dir={folder / name}", f"max_steps={args.steps}"]
        told += ["template=chatml", "bf16=false", "overwrite_cache=true"]
        command = [args.llama_factory.parent / "llamafactory-cli", "train", script, *told]
        # It asks a hub for its own version unless it is told that there is none.
        surroundings = {**os.environ, "HF_HUB_OFFLINE": "1", "DISABLE_VERSION_CHECK": "1"}
        done = table.attempt(name, where, command, cwd=run / "export" / name, env=surroundings)
        if done and not (folder / name / "model.safetensors").exists():
            table.add(name, where, "FAIL", "no model was written")
        elif done:
            table.add(name, where, "pass", f"{args.steps} steps")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradus", type=Path, default=ROOT / "target/debug/gradus", help="the binary (%(default)s)")
    parser.add_argument("--python", type=Path, help="a Python with TRL and the verifier's wheel")
    parser.add_argument("--llama-factory", type=Path, help="a Python with LLaMA-Factory")
    parser.add_argument("--steps", type=int, default=2, help="steps of each training (%(default)s)")
    args = parser.parse_args()
    args.gradus = args.gradus.resolve()
    # Not resolved: the link in an environment is what makes it one.
    args.python = args.python.absolute() if args.python else environment(ROOT / "target/consumers")
    args.llama_factory = args.llama_factory and args.llama_factory.absolute()
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Nothing of this goes into the user's own cache.
        os.environ["HF_HOME"] = str(folder / "cache")
        student = folder / "student"
        subprocess.run([args.python, ROOT / "scripts/tiny_student.py", student], check=True, capture_output=True)
        run, formats = export(args.gradus, folder, student)
        load(table, args.python, run, formats)
        train_with_trl(table, args, run, student, folder, formats)
        train_with_llama_factory(table, args, run, student, folder, formats)
        for name in formats:
            if name in NOT_RUN:
                table.add(name, NOT_RUN[name], "not run", "it wants a GPU")
    sys.exit(1 if table.show() else 0)


if __name__ == "__main__":
    main()
