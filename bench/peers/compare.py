"""Measures this library and its peers on the same data, in turn, and writes BENCHMARKS.md."""

import argparse
import csv
import datetime
import gzip
import importlib.metadata
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peers import PEERS, Coniferest, Isotree, OnnxRuntime, ScikitLearn, Tl2cgen, Ydf

SERVING = "## Serving"
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SHARED_DIR", ROOT.parent / "shared"))
N_ROWS = 100_000
WIDTHS = (3, 32)
DEEP = {4096: 20_000, 65_536: 20_000}
"""Sample sizes of deep trees, and how many rows are scored with them."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often everything is measured")
    parser.add_argument("--quick", action="store_true", help="two rounds, no deep trees, no AUROC")
    parser.add_argument("--output", type=Path, default=ROOT / "BENCHMARKS.md")
    args = parser.parse_args()
    rounds = 2 if args.quick else args.rounds

    cores = sorted(os.sched_getaffinity(0))
    sections = [batches(rounds, cores), single_events(rounds, cores), fits(rounds, cores)]
    sections.append(two_threads(rounds, cores))
    if not args.quick:
        sections += [deep_trees(min(rounds, 3), cores), auroc()]
    text = "\n\n".join([head(rounds)] + sections) + "\n"
    print(text)
    if not args.quick:
        # What stands there about serving is written by another program.
        before = args.output.read_text() if args.output.exists() else ""
        serving = before.partition(SERVING)[1:]
        args.output.write_text("\n".join([text, "".join(serving)]) if serving[0] else text)


class Ours:
    """This library, through its programs."""

    def __init__(self, x, sample_size=256, seed=0, scored=None):
        self.dir = tempfile.TemporaryDirectory()
        self.csv = Path(self.dir.name) / "train.csv"
        header = ",".join(f"x{i}" for i in range(x.shape[1]))
        np.savetxt(self.csv, x, delimiter=",", header=header, comments="", fmt="%.17g")
        self.matrix = Path(self.dir.name) / "rows.f64"
        (x if scored is None else scored).astype("<f8").tofile(self.matrix)
        self.learning = ["--input", self.csv, "--sample-size", sample_size, "--seed", seed]
        self.models = Path(self.dir.name) / "models"
        run("train", *self.learning, "--model-dir", self.models, "--data-dir", self.dir.name)

    def fit_ms(self, threads=1):
        said = run("train", *self.learning, "--time", "--threads", threads)
        return float(re.search(r"median ([\d.]+) ms", said)[1])

    def scoring_ns(self, engine, threads=1, one=False):
        how = ["--one"] if one else ["--threads", threads]
        said = run(
            "score", "--model-dir", self.models, "--input", self.matrix, "--repeat", 5,
            "--engine", engine, *how,
        )  # fmt: skip
        return float(re.search(r"median ([\d.]+) ns/row", said)[1])

    def engines(self):
        available = []
        for engine in ("avx512", "avx2", "portable"):
            command = [program("score"), "--model-dir", self.models, "--input", os.devnull]
            command += ["--format", "f64", "--engine", engine]
            if subprocess.run(command, capture_output=True).returncode == 0:
                available.append(engine)
        return available


def program(name):
    return ROOT / "target" / "release" / name


def run(name, *args):
    command = [program(name)] + [str(arg) for arg in args]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def gaussian(n_rows, n_features, seed=7):
    return np.random.default_rng(seed).normal(size=(n_rows, n_features))


def seconds(function):
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def repeated(function, n_rows):
    """Nanoseconds a row: the median of five runs, after one to warm up, as `score --repeat 5` does."""
    function()
    return statistics.median(seconds(function) for _ in range(5)) / n_rows * 1e9


def in_turn(rounds, measurements):
    """Measures everything once a round, in another order each time."""
    results = {name: [] for name in measurements}
    order = list(measurements)
    shuffle = random.Random(1).shuffle
    for index in range(rounds):
        shuffle(order)
        for name in order:
            results[name].append(measurements[name]())
        print(f"round {index + 1} of {rounds}", file=sys.stderr)
    return results


def table(results, ours, unit, digits=0, fastest_of=None):
    """A row for each implementation: median, range, and how much slower it is than each of ours."""
    peers = [name for name in results if name not in ours]
    peers.sort(key=lambda name: statistics.median(results[name]))
    best = next((name for name in peers if fastest_of is None or name in fastest_of), None)
    lines = [f"| | median, {unit} | range | ratio to the fastest peer | its range |"]
    lines += ["|---|---|---|---|---|"]
    for name in list(ours) + peers:
        values = results[name]
        row = f"| {name} | {statistics.median(values):,.{digits}f} "
        row += f"| {min(values):,.{digits}f} to {max(values):,.{digits}f} |"
        if name in ours and best is not None:
            ratios = [peer / own for peer, own in zip(results[best], values)]
            row += f" **{statistics.median(ratios):.1f}x** | {min(ratios):.1f} to {max(ratios):.1f} |"
        else:
            row += " | |"
        lines.append(row)
    return "\n".join(lines)


COMPARED = {"coniferest", "Treelite + tl2cgen", "scikit-learn", "isotree", "onnxruntime"}


def fitted(peers, x, sample_size=256, scored=None):
    """Each peer by name, with a function that scores the rows once."""
    scorers = {}
    for peer_class in peers:
        peer = peer_class()
        peer.fit(x, sample_size)
        rows = x if scored is None else scored
        rows = peer.prepare(rows) if hasattr(peer, "prepare") else rows
        scorers[peer.name] = lambda peer=peer, rows=rows: peer.score(rows)
    return scorers


def batches(rounds, cores):
    os.sched_setaffinity(0, {cores[-1]})
    text = "## Batches\n\n"
    text += f"Nanoseconds a row, {N_ROWS:,} rows of Gaussian numbers at once, 100 trees of 256 samples, one core.\n"
    for width in WIDTHS:
        x = gaussian(N_ROWS, width)
        ours = Ours(x)
        engines = ours.engines()
        measurements = {
            f"ours, {engine}": lambda engine=engine: ours.scoring_ns(engine) for engine in engines
        }
        names = list(measurements)
        for name, score in fitted(PEERS, x).items():
            measurements[name] = lambda score=score: repeated(score, N_ROWS)
        results = in_turn(rounds, measurements)
        text += f"\n### {width} features\n\n" + table(results, names, "ns/row", 1, COMPARED) + "\n"
    return text.rstrip()


def single_events(rounds, cores):
    os.sched_setaffinity(0, {cores[-1]})
    text = "## Single events\n\n"
    text += "Nanoseconds an event, one after another, the same forests. Peers are called once an event through\n"
    text += "Python, which is how they are used there and most of what they take; rows are put into the form\n"
    text += "they ask for before. YDF, which takes columns by name, is left out.\n"
    for width in WIDTHS:
        x = gaussian(N_ROWS, width)
        ours = Ours(x)
        measurements = {
            f"ours, {engine}": lambda engine=engine: ours.scoring_ns(engine, one=True)
            for engine in ours.engines()
        }
        names = list(measurements)
        for peer_class in (Coniferest, ScikitLearn, Isotree, OnnxRuntime, Tl2cgen):
            peer = peer_class()
            peer.fit(x, 256)
            n_events = 100 if peer_class is ScikitLearn else 2_000
            rows = [x[i : i + 1] for i in range(n_events)]
            rows = [peer.prepare(row) for row in rows] if hasattr(peer, "prepare") else rows
            measurements[peer.name] = lambda peer=peer, rows=rows: repeated(
                lambda: [peer.score(row) for row in rows], len(rows)
            )
        results = in_turn(rounds, measurements)
        text += f"\n### {width} features\n\n" + table(results, names, "ns/event") + "\n"
    return text.rstrip()


def fits(rounds, cores):
    os.sched_setaffinity(0, {cores[-1]})
    text = "## Fits\n\n"
    text += f"Milliseconds for 100 trees of 256 samples from {N_ROWS:,} rows, one core, ready to score an event.\n"
    for width in WIDTHS:
        x = gaussian(N_ROWS, width)
        ours = Ours(x)
        measurements = {"ours": ours.fit_ms}
        for peer_class in PEERS:
            if getattr(peer_class, "fits", True):
                measurements[peer_class.name] = lambda peer_class=peer_class: statistics.median(
                    seconds(lambda: peer_class().fit(x, 256)) * 1e3 for _ in range(5)
                )
        results = in_turn(rounds, measurements)
        text += f"\n### {width} features\n\n" + table(results, ["ours"], "ms", 2, COMPARED) + "\n"
    return text.rstrip()


def two_threads(rounds, cores):
    os.sched_setaffinity(0, cores)
    x = gaussian(1_000_000, 3)
    ours = Ours(x[:N_ROWS], scored=x)
    engine = ours.engines()[0]
    results = in_turn(
        rounds,
        {threads: lambda threads=threads: ours.scoring_ns(engine, threads) for threads in (1, 2)},
    )
    ratios = [one / two for one, two in zip(results[1], results[2])]
    return (
        "## Threads\n\n"
        f"A million rows of 3 features, {engine}: {statistics.median(results[1]):.1f} ns/row with one thread, "
        f"{statistics.median(results[2]):.1f} with two,\n"
        f"which is {statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f}), "
        f"on {len(cores)} cores."
    )


def deep_trees(rounds, cores):
    os.sched_setaffinity(0, {cores[-1]})
    text = "## Deep trees\n\n"
    text += f"Nanoseconds a row, 3 features, 100 trees grown from 200,000 rows, 20,000 rows at once, one core, {rounds} rounds.\n"
    text += "Treelite + tl2cgen is left out: gcc takes too long over so many branches.\n"
    x = gaussian(200_000, 3)
    for sample_size, n_scored in DEEP.items():
        rows = x[:n_scored]
        ours = Ours(x, sample_size, scored=rows)
        measurements = {
            f"ours, {engine}": lambda engine=engine: ours.scoring_ns(engine)
            for engine in ours.engines()
        }
        names = list(measurements)
        peers = [peer for peer in PEERS if peer is not Tl2cgen]
        for name, score in fitted(peers, x, sample_size, rows).items():
            measurements[name] = lambda score=score: repeated(score, n_scored)
        results = in_turn(rounds, measurements)
        text += f"\n### {sample_size:,} samples a tree\n\n"
        text += table(results, names, "ns/row", 0, COMPARED) + "\n"
    return text.rstrip()


def auroc():
    sets = sorted((SHARED / "data" / "tabular").glob("*.csv.gz"))
    text = "## Quality\n\n"
    if not sets:
        return text + f"Not measured: there is no {SHARED / 'data' / 'tabular'}."
    seeds = range(10)
    peers = [ScikitLearn, Isotree, Coniferest, Ydf]
    text += f"Area under the ROC curve, mean and standard deviation over {len(seeds)} seeds; fitted to all rows, scored on all rows.\n\n"
    text += "| set | rows | ours | " + " | ".join(peer.name for peer in peers) + " |\n"
    text += "|---|---|---|" + "---|" * len(peers) + "\n"
    for path in sets:
        name = path.name.removesuffix(".csv.gz")
        with gzip.open(path, "rt") as file:
            rows = list(csv.reader(file))
        data = np.array(rows[1:], dtype=float)
        x, labels = data[:, :-1], data[:, -1] == 1
        sample_size = min(256, len(x) // 2)
        columns = [[our_auroc(path, rows[0][:-1], sample_size, seed, labels) for seed in seeds]]
        for peer_class in peers:
            areas = []
            for seed in seeds:
                peer = peer_class()
                peer.fit(x, sample_size, seed)
                rows_of_peer = peer.prepare(x) if hasattr(peer, "prepare") else x
                areas.append(area_under_roc(peer.score(rows_of_peer), labels))
            columns.append(areas)
        cells = [f"{statistics.mean(areas):.4f} ± {statistics.stdev(areas):.4f}" for areas in columns]
        text += f"| {name} | {len(x):,} | " + " | ".join(cells) + " |\n"
        print(name, cells, file=sys.stderr)
    return text.rstrip()


def our_auroc(path, features, sample_size, seed, labels):
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        scores = Path(folder) / "scores.csv"
        run(
            "train", "--input", path, "--features", ",".join(features), "--sample-size", sample_size,
            "--seed", seed, "--contamination", 0.1, "--model-dir", models, "--data-dir", folder,
        )  # fmt: skip
        run("score", "--model-dir", models, "--input", path, "--output", scores)
        with open(scores) as file:
            return area_under_roc([float(row["anomaly_score"]) for row in csv.DictReader(file)], labels)


def area_under_roc(scores, labels):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(labels, scores)


def head(rounds):
    versions = ", ".join(
        f"{peer.name} {importlib.metadata.version(peer.package)}" for peer in PEERS
    )
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.split()[1]
    commit = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    return f"""# Benchmarks

Written by `bench/peers/run`, which anyone can repeat; figures depend on the machine, so compare ratios.
Everything is measured in turn, {rounds} rounds in another order each; a ratio compares figures of the same round.
Ours is timed inside `score --repeat` and `train --time`, peers around their calls in Python; all with one thread,
after a run to warm up, the median of five runs a round.

- machine: {cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}
- date: {datetime.date.today().isoformat()}, commit {commit}, rustc {rustc}, Python {platform.python_version()}
- peers: {versions}"""


def cpu():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
