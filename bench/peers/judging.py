"""Judges twelve labelled tables with this system and its peers, and writes the section Judging of
BENCHMARKS.md. `bench/peers/judging` runs it; `--quick` takes fewer seeds and prints only."""

import argparse
import csv
import gzip
import importlib.metadata
import os
import random
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from isotree import IsolationForest as Isotree
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from sklearn.covariance import MinCovDet
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

warnings.filterwarnings("ignore")
SECTION = "## Judging"
COSTS = "The cost of a judgement"
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SHARED_DIR", ROOT.parent / "shared"))
RATE = 0.01
ROWS_MAX = 20_000
"""Larger tables are thinned: the slowest peers take hours otherwise."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="two seeds, and nothing is written")
    parser.add_argument("--output", type=Path, default=ROOT / "BENCHMARKS.md")
    args = parser.parse_args()
    seeds = range(2 if args.quick else args.seeds)

    folder = SHARED / "data" / "tabular"
    tables = {path.name.split(".")[0]: read(path) for path in sorted(folder.glob("*.csv.gz"))}
    if not tables:
        sys.exit(f"there are no tables in {folder} (set SHARED_DIR)")
    parts = [head(seeds), ranking(tables, seeds), normal_only(tables, seeds), stations(seeds), one_off(seeds), tails(seeds)]
    text = "\n\n".join(parts)
    print(text)
    if not args.quick:
        before, _, after = args.output.read_text().partition(SECTION)
        # The costs are measured by another program.
        costs = after[after.find(COSTS) :] if COSTS in after else ""
        args.output.write_text(f"{before.rstrip()}\n\n{text}\n\n{costs}".rstrip() + "\n")


def read(path):
    """Values and labels of a table, thinned by the same draw every time."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.reader(file))[1:]
    if len(rows) > ROWS_MAX:
        rows = random.Random(1).sample(rows, ROWS_MAX)
    table = np.array([[float(cell or "nan") for cell in row] for row in rows])
    return table[:, :-1], table[:, -1].astype(bool)


class Ours:
    """This system, through its programs."""

    name = "this"

    def __init__(self, x, seed, *options, stations=None):
        self.dir = tempfile.TemporaryDirectory()
        path = Path(self.dir.name)
        names = [f"x{i}" for i in range(x.shape[1])]
        write(path / "train.csv", names, x, stations)
        schema = "".join(f'[[feature]]\nname = "{name}"\noptional = true\n' for name in names)
        (path / "schema.toml").write_text(schema)
        run("train", "--input", path / "train.csv", "--schema", path / "schema.toml", "--seed", seed,
            "--model-dir", path, "--data-dir", path, "--no-report", "--quiet", *options)  # fmt: skip
        self.names = names

    def judge(self, x, stations=None):
        """Score of the forest, strangeness (1 - p, then the score), and label of each row."""
        path = Path(self.dir.name)
        write(path / "rows.csv", self.names, x, stations)
        lines = run("score", "--model-dir", path, "--input", path / "rows.csv")
        rows = list(csv.DictReader(lines.splitlines()))
        score = np.array([float(row["anomaly_score"]) for row in rows])
        p = np.array([float(row["p_value"]) for row in rows])
        return score, -p + score * 1e-9, np.array([row["is_anomaly"] == "true" for row in rows])


def write(path, names, x, stations=None):
    rows = [["" if np.isnan(v) else repr(float(v)) for v in row] for row in x]
    if stations is not None:
        names, rows = ["station", *names], [[station, *row] for station, row in zip(stations, rows)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)


def run(program, *args):
    command = [ROOT / "target" / "release" / program, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{program} failed: {done.stderr or done.stdout}")
    return done.stdout


def scikit_learn(x, seed):
    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(x)), random_state=seed).fit(x)
    return lambda rows: -forest.score_samples(rows)


def isotree(x, seed, **options):
    options = {"ntrees": 100, "sample_size": min(256, len(x)), "ndim": 1, **options}
    forest = Isotree(random_seed=seed + 1, nthreads=1, **options).fit(x)
    return lambda rows: forest.predict(rows)


def pyod(kind):
    def fit(x, _seed):
        model = kind().fit(x)
        return lambda rows: model.decision_function(rows)

    return fit


def robust_mahalanobis(x, seed):
    varying = x.std(0) > 0
    model = MinCovDet(random_state=seed).fit(x[:, varying])
    return lambda rows: model.mahalanobis(rows[:, varying])


PEERS = {
    "scikit-learn": scikit_learn,
    "isotree, `penalize_range`": lambda x, seed: isotree(x, seed, penalize_range=True),
    "ECOD": pyod(ECOD),
    "COPOD": pyod(COPOD),
    "robust Mahalanobis": robust_mahalanobis,
}


def head(seeds):
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("scikit-learn", "isotree", "pyod"))
    return (
        f"{SECTION}\n\n"
        f"Written by `bench/peers/judging`: {len(seeds)} seeds; tables of more than {ROWS_MAX:,} rows thinned to that. "
        f"{versions}. Forests have 100 trees of 256 samples, one feature a cut."
    )


def ranking(tables, seeds):
    """Fitted to all rows, anomalies included, and scored on them."""
    measures = {}
    for x, is_anomaly in tables.values():
        for seed in seeds:
            score, strangeness, _ = Ours(x, seed).judge(x)
            add(measures, "this, forest alone", is_anomaly, score)
            add(measures, "this", is_anomaly, strangeness)
            for name, fit in PEERS.items():
                add(measures, name, is_anomaly, try_peer(fit, x, seed, x))
    lines = [row(name, *means(values)) for name, values in measures.items()]
    title = "Ranking: fitted to all rows, anomalies included, and scored on them. Mean over the tables."
    return "\n".join([title, "", "| | AUROC | average precision |", "|---|---|---|", *lines])


def normal_only(tables, seeds):
    """Trained on half of the normal rows; judged are the other half and the anomalies."""
    variants = {
        "as it is": lambda x, draw: (x, lambda rows: rows),
        "1 % of the rows absurd": lambda x, draw: (absurd(x, draw, 0.01), lambda rows: rows),
        "5 % of the rows absurd": lambda x, draw: (absurd(x, draw, 0.05), lambda rows: rows),
        "5 % of the values missing": lambda x, draw: (holes(x, draw, 0.05), lambda rows: holes(rows, draw, 0.05)),
        "20 % of the values missing": lambda x, draw: (holes(x, draw, 0.2), lambda rows: holes(rows, draw, 0.2)),
    }
    lines = []
    for title, change in variants.items():
        found, alarms, auroc = [], [], []
        for x, is_anomaly in tables.values():
            for seed in seeds:
                draw = np.random.default_rng(seed)
                normal = draw.permutation(np.flatnonzero(~is_anomaly))
                half = len(normal) // 2
                train, judged = change(x[normal[:half]], draw)
                rows = judged(np.vstack([x[normal[half:]], x[is_anomaly]]))
                truth = np.r_[np.zeros(len(normal) - half, bool), np.ones(is_anomaly.sum(), bool)]
                _, strangeness, label = Ours(train, seed).judge(rows)
                found.append(label[truth].mean())
                alarms.append(label[~truth].mean())
                auroc.append(roc_auc_score(truth, strangeness))
        lines.append(row(title, statistics.mean(alarms), statistics.mean(found), statistics.mean(auroc)))
    title = (
        "Alarms of this system: trained on half of the normal rows, judged on the other half and all anomalies, with "
        "1 % false alarms asked for. Mean over the tables; absurd rows have one value of 9999 deviations."
    )
    return "\n".join([title, "", "| training | false alarms | anomalies found | AUROC |", "|---|---|---|---|", *lines])


def stations(seeds):
    """Recordings of one circuit on several days, each a station of its own: trained on half of the normal rows of all."""
    values, names, truth = [], [], []
    for path in sorted((SHARED / "data" / "skab").glob("skab_[ov]*.csv.gz")):
        with gzip.open(path, "rt", newline="") as file:
            rows = list(csv.DictReader(file))
        measured = [key for key in rows[0] if key not in ("timestamp", "changepoint", "label")]
        values += [[float(row[key]) for key in measured] for row in rows]
        names += [path.name.split(".")[0]] * len(rows)
        truth += [row["label"] == "1" for row in rows]
    values, names, truth = np.array(values), np.array(names), np.array(truth)
    lines = []
    for title, options in {"one baseline for all": (), "`--per-station`": ("--per-station",)}.items():
        found, alarms, auroc = [], [], []
        for seed in seeds:
            learnt = ~truth & (np.random.default_rng(seed).random(len(truth)) < 0.5)
            ours = Ours(values[learnt], seed, *options, stations=names[learnt])
            _, strangeness, label = ours.judge(values[~learnt], names[~learnt])
            judged = truth[~learnt]
            found.append(label[judged].mean())
            alarms.append(label[~judged].mean())
            auroc.append(roc_auc_score(judged, strangeness))
        lines.append(row(title, statistics.mean(alarms), statistics.mean(found), statistics.mean(auroc)))
    title = (
        f"Stations that differ: {len(set(names))} recordings of SKAB, each a station, trained on half of the normal rows at "
        "random, with 1 % false alarms asked for."
    )
    return "\n".join([title, "", "| training | false alarms | anomalies found | AUROC |", "|---|---|---|---|", *lines])


def one_off(seeds):
    """One sensor of many is off, of rows with two causes and noise."""
    widths, distances = (3, 8, 32, 200), (5, 8, 13)
    names = ["this", *PEERS]
    lines = []
    for width in widths:
        found = {name: {distance: [] for distance in distances} for name in names}
        alarms = []
        for seed in seeds:
            draw = np.random.default_rng(1_000 * width + seed)
            weights = draw.normal(size=(2, width))
            weights /= np.hypot(*weights)
            rows = lambda n: draw.normal(size=(n, 2)) @ weights + draw.normal(size=(n, width)) / 2  # noqa: E731
            train, fresh, faulty = rows(5_000), rows(3_000), rows(300)
            ours = Ours(train, seed)
            alarms.append(ours.judge(fresh)[2].mean())
            peers = {name: fit(train, seed) for name, fit in PEERS.items()}
            cuts = {name: np.quantile(score(fresh), 1 - RATE) for name, score in peers.items()}
            deviation = np.hypot(1, 0.5)
            for distance in distances:
                moved = faulty.copy()
                sides = np.where(np.arange(len(moved)) % 2, -1, 1)
                moved[np.arange(len(moved)), np.arange(len(moved)) % width] += sides * distance * deviation
                found["this"][distance].append(ours.judge(moved)[2].mean())
                for name, score in peers.items():
                    found[name][distance].append((score(moved) > cuts[name]).mean())
        for name in names:
            cells = [f"{statistics.mean(found[name][distance]):.2f}" for distance in distances]
            rate = f"{statistics.mean(alarms):.4f}" if name == "this" else "(0.0100)"
            lines.append(f"| {width} | {name} | {rate} | {' | '.join(cells)} |")
    title = (
        "One sensor is off by so many deviations, of 5,000 normal training rows: share found. Peers get the cut from 3,000 "
        "fresh normal rows, which is a gift."
    )
    head = "| features | | false alarms | 5 | 8 | 13 |\n|---|---|---|---|---|---|"
    return "\n".join([title, "", head, *lines])


def tails(seeds):
    """One value of many lies a range beyond those of the training, of columns with tails of a kind."""
    widths = (3, 8, 32, 200)
    lines = []
    for kind in [*TAILS, "mixed"]:
        cells = []
        for width in widths:
            found, alarms = [], []
            for seed in seeds:
                draw = np.random.default_rng(7_000 * width + seed)
                kinds = [*TAILS.values()] if kind == "mixed" else [TAILS[kind]]
                rows = lambda n: np.column_stack([kinds[j % len(kinds)](draw, n) for j in range(width)])  # noqa: E731
                train, fresh, moved = rows(5_000), rows(3_000), rows(300)
                ours = Ours(train, seed)
                alarms.append(ours.judge(fresh)[2].mean())
                low, high = train.min(0), train.max(0)
                for row in range(len(moved)):
                    column = row % width
                    width_of = high[column] - low[column]
                    moved[row, column] = high[column] + width_of if row % 2 else low[column] - width_of
                found.append(ours.judge(moved)[2].mean())
            cells.append(f"{statistics.mean(found):.2f} ({statistics.mean(alarms):.4f})")
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    title = (
        "One value lies a range beyond the 5,000 training rows, of independent columns with tails of a kind: share found, and "
        "false alarms, by the number of features. Mixed columns take turns."
    )
    head = "| tails | " + " | ".join(map(str, widths)) + " |\n|" + "---|" * (len(widths) + 1)
    return "\n".join([title, "", head, *lines])


TAILS = {
    "normal": lambda draw, n: draw.normal(size=n),
    "bounded": lambda draw, n: draw.uniform(size=n),
    "lognormal": lambda draw, n: np.exp(draw.normal(size=n)),
    "rounded": lambda draw, n: np.round(2 * draw.normal(size=n)) / 2,
    "Student's t, 3 degrees": lambda draw, n: draw.standard_t(3, size=n),
    "switch, 3 % on": lambda draw, n: (draw.random(n) < 0.03).astype(float),
}


def absurd(x, draw, share):
    x = x.copy()
    rows = draw.choice(len(x), max(1, int(share * len(x))), replace=False)
    varying = np.flatnonzero(np.quantile(np.abs(x - np.median(x, 0)), 0.9, axis=0) > 0)
    columns = draw.choice(varying, len(rows))
    x[rows, columns] = np.median(x, 0)[columns] + 9_999 * x.std(0)[columns]
    return x


def holes(x, draw, share):
    x = x.copy()
    x[draw.random(x.shape) < share] = np.nan
    return x


def try_peer(fit, x, seed, rows):
    try:
        return fit(x, seed)(rows)
    except ValueError:
        return np.zeros(len(rows))


def add(measures, name, truth, score):
    score = np.nan_to_num(score, posinf=np.finfo(float).max, neginf=-np.finfo(float).max)
    measures.setdefault(name, []).append((roc_auc_score(truth, score), average_precision_score(truth, score)))


def means(values):
    return [statistics.mean(value) for value in zip(*values)]


def row(name, *numbers):
    return f"| {name} | " + " | ".join(f"{number:.4f}" for number in numbers) + " |"


if __name__ == "__main__":
    main()
