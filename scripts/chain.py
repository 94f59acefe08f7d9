"""Probe, train, evaluate, compare: the whole chain with a tiny student, on a CPU, without a network.

    python scripts/chain.py [--gradus target/debug/gradus]

Needs trl, peft and torch in the Python that runs it, and a binary that asks folders of the hub (`dir:`). The teacher is
the mock server, which is always right; the student is `tiny_student.py`, with weights at random. It is trained on a few
questions and evaluated on the same: it must know more of them than before. This shows that every hand-over works, not
that anything is learned.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gradus", type=Path, default=ROOT / "target/debug/gradus", help="the binary (%(default)s)")
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        os.environ["HF_HOME"] = str(folder / "cache")

        def call(*command, **options) -> str:
            print("+", *command, file=sys.stderr, flush=True)
            done = subprocess.run([str(part) for part in command], cwd=folder, text=True, stdout=subprocess.PIPE, **options)
            # 3: questions of which the teacher had none right.
            if done.returncode not in (0, 3):
                sys.exit(f"error: it ended with exit code {done.returncode}")
            return done.stdout

        gradus = args.gradus.resolve()
        call(sys.executable, ROOT / "scripts/tiny_student.py", "student", stderr=subprocess.DEVNULL)
        mock = subprocess.Popen(
            [gradus, "mock", "--port", "0", "--model", "teacher", "--right-rate", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            url = mock.stdout.readline().strip()
            config = {
                "bank": {"path": "builtin", "license": "MIT OR Apache-2.0"},
                "limit": args.questions,
                "student": f"dir:{folder / 'student'}",
                "teacher": f"openai:{url}#teacher",
                "prompts": dict.fromkeys(["math", "choice", "text"], "builtin:brief"),
                "probe": {"sampling": {"temperature": 0, "max_tokens": 200}},
                "export": {"formats": ["trl"]},
            }
            (folder / "gradus.yaml").write_text(json.dumps(config))
            call(gradus, "run", "--quiet")
        finally:
            mock.terminate()
            mock.wait()
        more = ["--max-steps", args.steps, "--learning-rate", "3e-3", "--batch", args.questions, "--accumulation", 1]
        trained = json.loads(call(gradus, "train", "--python", sys.executable, "--model", "student", "--json", "--", *more))
        asked = ["--config", "gradus.yaml", "--json", "--quiet"]
        for name, model in [("before", folder / "student"), ("after", trained["out"])]:
            call(gradus, "evaluate", *asked, "--model", f"dir:{model}", "--out", name)
        compared = json.loads(call(gradus, "compare", "before", "after", "--json"))
        print(call(gradus, "compare", "before", "after"))
    accuracy = compared["accuracy"]
    first, last = trained["first_loss"], trained["last_loss"]
    print(f"loss {first:.3f} to {last:.3f} in {trained['steps']} steps; pass@1 {accuracy['a']:.3f} to {accuracy['b']:.3f}")
    sys.exit(0 if accuracy["b"] > accuracy["a"] else "error: the trained student knows no more than before")


if __name__ == "__main__":
    main()
