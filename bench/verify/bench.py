#!/usr/bin/env python3
"""Compares `gradus verify --jsonl` with Math-Verify over the same rows: verdicts, speed, memory, determinism.

`python3 bench/verify/bench.py` from the root of the repository; `--help` names the settings. See README.md beside it.
Linux only: CPU time and memory are read from /proc.
"""

import argparse
import collections
import itertools
import json
import math
import os
import random
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import rows as data

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
HANG, MISSING = "hang", "missing"
OURS, DEFAULT, BEST, STRINGS, PARSE = "gradus", "math-verify", "math-verify-best", "strings", "parse-only"


class Worker:
    """One grader in one process, on one core; killed and started again when a row takes too long."""

    def __init__(self, name, command, core, kill_s, env=None):
        self.name, self.command, self.core, self.kill_s = name, command, core, kill_s
        self.env = {**os.environ, **(env or {})}
        self.process, self.peak_kb, self.n_kills = None, 0, 0

    def start(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env
        )
        os.sched_setaffinity(self.process.pid, {self.core})
        self.held = b""
        if self.name in (DEFAULT, BEST, STRINGS):
            assert self._line(time.monotonic() + 120) == b"ready", f"{self.name} does not start"

    def stop(self):
        if self.process is not None:
            self._look()
            self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def cpu_ns(self):
        """CPU time of all threads so far."""
        total = 0
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
        return total

    def ask(self, block):
        """Replies to a block of rows sent at once, and the CPU time they took; None where it hung."""
        if self.process is None:
            self.start()
        before = self.cpu_ns()
        text = b"".join(row.line for row in block) + b"\n"
        writer = threading.Thread(target=self._write, args=(text,))
        writer.start()
        deadline = time.monotonic() + self.kill_s
        replies = []
        for _ in block:
            line = self._line(deadline)
            if line is None:
                break
            replies.append(json.loads(line))
            deadline = time.monotonic() + self.kill_s
        spent = self.cpu_ns() - before
        self._look()
        if len(replies) < len(block):
            self.n_kills += 1
            self.stop()
        writer.join()
        return replies, spent

    def _write(self, text):
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
        except (BrokenPipeError, OSError, ValueError, AttributeError):
            pass  # killed meanwhile

    def _line(self, deadline):
        while b"\n" not in self.held:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            came = os.read(self.process.stdout.fileno(), 1 << 20)
            if not came:
                return None
            self.held += came
        line, self.held = self.held.split(b"\n", 1)
        return line

    def _look(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                self.peak_kb = max(self.peak_kb, int(line.split()[1]))


def verdicts(workers, rows, seed):
    """Every row once through every worker, interleaved: outcome, parsed or method, and milliseconds of CPU."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    found = {worker.name: {} for worker in workers}
    for n, row in enumerate(order):
        for worker in workers if n % 2 == 0 else reversed(workers):
            replies, spent = worker.ask([row])
            reply = replies[0] if replies else {"verdict": HANG}
            assert reply.get("id", row.id) == row.id, f"{worker.name} answers out of order"
            found[worker.name][row.id] = {**reply, "ms": spent / 1e6}
        if sys.stderr.isatty() and n % 100 == 0:
            print(f"\r{n}/{len(order)} rows", end="", file=sys.stderr)
    return found


class Tally:
    """What one grader made of some rows. Undecided and hung rows are right for nobody."""

    def __init__(self, rows, replies):
        count = collections.Counter()
        self.right = []
        for row in rows:
            verdict = replies[row.id].get("verdict", MISSING)
            said = {"correct": True, "incorrect": False, "no_answer": False}.get(verdict)
            self.right.append(said == row.expected)
            kind = verdict if said is None else "right" if said == row.expected else "fp" if said else "fn"
            count[kind] += 1
        self.n = len(self.right)
        self.n_right, self.fp, self.fn = count["right"], count["fp"], count["fn"]
        self.hangs, self.undecided = count[HANG], count["undecided"] + count[MISSING]

    def cells(self):
        low, high = wilson(self.n_right, self.n)
        share = f"{100 * self.n_right / max(self.n, 1):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        return [share, self.fp, self.fn, self.undecided, self.hangs]


def wilson(right, n, z=1.959964):
    """95 % interval of a share (Wilson 1927)."""
    if n == 0:
        return 0.0, 1.0
    p = right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(ours, theirs):
    """Rows only we, only they get right, and the exact two-sided p of that split."""
    only_we = sum(a and not b for a, b in zip(ours, theirs))
    only_they = sum(b and not a for a, b in zip(ours, theirs))
    n = only_we + only_they
    tail = sum(math.comb(n, k) for k in range(min(only_we, only_they) + 1))
    return only_we, only_they, min(1.0, 2 * tail / 2**n)


def table(head, lines):
    """A Markdown table with aligned columns."""
    cells = [list(map(str, line)) for line in [head, *lines]]
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    for line in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
    print()


def report(rows, found, key, title):
    """Right, false positives, false negatives per group and grader, and the discordant pairs."""
    print(f"### By {title}\n")
    groups = collections.defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    names = list(found)
    lines = []
    for group, members in sorted(groups.items()):
        tallies = {name: Tally(members, found[name]) for name in names}
        for name in names:
            against = mcnemar(tallies[OURS].right, tallies[name].right)
            versus = "" if name == OURS else f"{against[0]}:{against[1]} p={against[2]:.1g}"
            lines.append([group, len(members), name, *tallies[name].cells(), versus])
    table([title, "n", "grader", "right % [95 %]", "fp", "fn", "undecided", "hangs", "only we:only they"], lines)


def coverage(workers, golds):
    """Gold answers that are read as something, and that equal themselves."""
    print("### Gold answers against themselves\n")
    lines = []
    for worker in workers:
        if worker.name == STRINGS:
            continue
        found = verdicts([worker], golds, 1)[worker.name]
        # Ours says in `method` how the reference was read; theirs says whether it found more than a string.
        if worker.name == OURS:
            reading = [reply["method"].split("=")[0] for reply in found.values()]
            parsed, words = sum(kind not in ("unread", "text") for kind in reading), reading.count("word")
        else:
            parsed, words = sum(bool(reply.get("parsed")) for reply in found.values()), 0
        same = sum(reply["verdict"] == "correct" for reply in found.values())
        share = lambda k: f"{k} ({100 * k / len(golds):.2f} %)"
        lines.append([worker.name, len(golds), share(parsed), share(words), share(same)])
    table(["grader", "n", "read", "of these as words", "equal to itself"], lines)


def throughput(workers, sets, repeats, block):
    """Rows per CPU second, blocks interleaved in ABBA order; the ratio with a bootstrap interval over blocks."""
    print("### Rows per second of CPU\n")
    lines = []
    for name, rows in sets.items():
        blocks = [rows[k : k + block] for k in range(0, len(rows), block)]
        spent = {worker.name: [] for worker in workers}
        wall = 0.0
        for worker in workers:
            worker.ask(blocks[0])  # started and warm
        for repeat in range(repeats):
            for members in blocks:
                for worker in workers if repeat % 2 == 0 else reversed(workers):
                    start = time.monotonic()
                    replies, nanoseconds = worker.ask(members)
                    wall += time.monotonic() - start
                    if len(replies) == len(members):
                        spent[worker.name].append((len(members), nanoseconds / 1e9))
                    else:
                        spent[worker.name].append((len(replies), worker.kill_s))
        rate = {who: sum(n for n, _ in pairs) / sum(s for _, s in pairs) for who, pairs in spent.items() if pairs}
        low, high = bootstrap(spent[OURS], spent[DEFAULT])
        n_bytes = sum(len(row.line) for row in rows) / len(rows)
        lines.append(
            [name, len(rows), f"{n_bytes:,.0f}"]
            + [f"{rate[worker.name]:,.0f}" for worker in workers]
            + [f"{rate[OURS] / rate[DEFAULT]:,.0f} [{low:,.0f}, {high:,.0f}]"]
        )
    names = [worker.name for worker in workers]
    table(["rows", "n", "bytes", *names, f"{OURS} / {DEFAULT} [95 %]"], lines)


def bootstrap(ours, theirs, n_draws=2000):
    """95 % interval of the ratio of rates, over blocks drawn with replacement."""
    draw = random.Random(0)

    def rate(pairs):
        chosen = draw.choices(pairs, k=len(pairs))
        return sum(n for n, _ in chosen) / sum(s for _, s in chosen)

    ratios = sorted(rate(ours) / rate(theirs) for _ in range(n_draws))
    return ratios[int(0.025 * n_draws)], ratios[int(0.975 * n_draws)]


def determinism(command, rows):
    """The same replies from 1, 2 and 8 threads, in any order, three times."""
    base, n_runs, n_different = None, 0, 0
    for threads, turn in itertools.product((1, 2, 8), range(3)):
        order = list(rows)
        random.Random(turn).shuffle(order)
        env = {**os.environ, "RAYON_NUM_THREADS": str(threads)}
        text = b"".join(row.line for row in order)
        out = subprocess.run(command, input=text, stdout=subprocess.PIPE, env=env, check=True).stdout
        replies = sorted(out.split(b"\n"))
        base = base or replies
        n_runs += 1
        n_different += replies != base
    print(f"Determinism: {len(rows)} rows, {n_runs} runs (1, 2, 8 threads, shuffled): {n_different} runs differ.\n")


def venv(folder):
    """A Python of its own with Math-Verify."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "math-verify==0.9.0"], check=True)
    return python


def build(no_build):
    """The release binary without the embedded engine, and the program that only parses."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    if not no_build:
        cargo = ["cargo", "build", "--release", "--quiet"]
        subprocess.run([*cargo, "-p", "gradus-cli", "--no-default-features"], cwd=ROOT, check=True)
        subprocess.run([*cargo, "-p", "gradus-verify", "--example", "read"], cwd=ROOT, check=True)
    return target / "gradus", target / "examples" / "read"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "math-cases")
    parser.add_argument("--rows", type=Path, action="append", default=[], help="more labelled rows (see README.md)")
    parser.add_argument("--part", choices=["verdicts", "golds", "speed", "determinism"], action="append")
    parser.add_argument("--limit", type=int, help="at most this many rows of each kind")
    parser.add_argument("--repeats", type=int, default=3, help="passes of the speed part")
    parser.add_argument("--kill", type=float, default=60, help="seconds for one row before the process is killed")
    parser.add_argument("--venv", type=Path, default=HERE / ".venv")
    parser.add_argument("--no-build", action="store_true", help="take the binaries as they are")
    args = parser.parse_args()
    parts = args.part or ["verdicts", "golds", "speed", "determinism"]

    python = venv(args.venv)
    gradus, read = build(args.no_build)
    core = max(os.sched_getaffinity(0))
    one_thread = {"RAYON_NUM_THREADS": "1"}
    ours = [gradus, "verify", "--jsonl", "-"]
    grader = lambda name: Worker(name, [python, HERE / "graders.py", name], core, args.kill)
    workers = [Worker(OURS, ours, core, args.kill, one_thread), grader(DEFAULT), grader(BEST), grader(STRINGS)]
    parse_only = Worker(PARSE, [read], core, args.kill)

    own = data.own(ROOT / "crates" / "gradus-verify" / "tests" / "cases")
    cases, responses, golds = data.shared(args.data)
    if not cases:
        print(f"no cases at {args.data}: own rows only", file=sys.stderr)
    rows = cases + responses + own + [row for file in args.rows for row in data.read(file)]
    cut = lambda members: members[:: max(1, len(members) // args.limit)] if args.limit else members
    try:
        print(f"Commit {commit()}, {cpu_name()}, Python {sys.version.split()[0]}, math-verify 0.9.0.\n")
        if "verdicts" in parts:
            members = cut(rows)
            found = verdicts(workers, members, 0)
            report(members, found, lambda row: row.policy, "policy")
            report(members, found, lambda row: row.source, "source")
            report(members, found, lambda row: row.category, "kind")
            tail(found)
        if "golds" in parts and golds:
            coverage(workers, cut(golds))
        if "speed" in parts:
            throughput([*workers[:2], workers[3], parse_only], data.speed_sets(rows, golds, args.limit), args.repeats, 200)
        for worker in [*workers, parse_only]:
            if worker.process is not None or worker.peak_kb:
                print(f"{worker.name}: peak {worker.peak_kb / 1024:.0f} MB, killed {worker.n_kills} times")
        print()
        if "determinism" in parts:
            determinism(ours, rows)
    finally:
        for worker in [*workers, parse_only]:
            worker.stop()


def tail(found):
    """The slowest rows of each grader."""
    lines = []
    for name, replies in found.items():
        times = sorted(reply["ms"] for reply in replies.values())
        at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
        hangs = sum(reply["verdict"] == HANG for reply in replies.values())
        lines.append([name, f"{at(0.5):.2f}", f"{at(0.99):.2f}", f"{times[-1]:.1f}", hangs])
    print("### CPU of one row, sent alone, in ms\n")
    table(["grader", "median", "p99", "worst", "hangs"], lines)


def commit():
    out = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return out.stdout.strip() or "unknown"


def cpu_name():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"


if __name__ == "__main__":
    main()
