"""Judges labelled recordings in time order with this system and its peers, and writes the section Time order of
BENCHMARKS.md. `bench/peers/time-order` runs it; `--quick` takes the first recordings of each kind and prints only."""

import argparse
import csv
import gzip
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from river.anomaly import HalfSpaceTrees
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

SECTION = "## Time order"
NEXT = "## Judging"
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SHARED_DIR", ROOT.parent / "shared"))
PACKS = {"first": SHARED / "data", "second": SHARED / "data2"}
BUDGET = 1e-4
DAY_ROWS = 86_400
"""A row a second, whatever the recording."""
INTERVALS_S = {"skab": 1, "nab": 300, "nasa": 60, "iot": 60, "tep": 180, "water": 3600, "smd": 60, "asd": 300, "cloud": 60}
RATES = (1, 3, 10)
"""False episodes in 10,000 normal rows."""
EXPLAINED = 0.9
"""Of the variance of the warm-up, by the components that are kept."""
RESAMPLES = 200
ROLLING_ROWS = 200
THRESHOLDS = 40

sys.path.insert(0, str(SHARED / "prototypes" / "stream"))
import evaluate  # noqa: E402, the measures, of the same folder as the recordings


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three recordings of each kind, and nothing is written")
    parser.add_argument("--output", type=Path, default=ROOT / "BENCHMARKS.md")
    args = parser.parse_args()
    parts, all_entries = [head()], []
    for pack, folder in PACKS.items():
        entries = [entry for entry in json.loads((folder / "MANIFEST.json").read_text())["sets"] if entry["kind"] in evaluate.KINDS]
        if args.quick:
            entries = [entry for kind in evaluate.KINDS for entry in [e for e in entries if e["kind"] == kind][:3]]
        parts.append(table(pack, folder, entries))
        all_entries += [(folder, entry) for entry in entries]
    parts.append(table_of_process(all_entries))
    parts.append(table_of_sensor_faults(all_entries))
    text = "\n\n".join(parts)
    print(text)
    if not args.quick:
        old = args.output.read_text()
        # The section before which it stands the first time.
        before, _, after = old.partition(SECTION if SECTION in old else NEXT)
        rest = after[after.find("\n## ") :] if SECTION in old else f"\n{NEXT}{after}"
        args.output.write_text(f"{before.rstrip()}\n\n{text}\n{rest}".rstrip() + "\n")


def head():
    return (
        f"{SECTION}\n\nLabelled recordings of two packs, each with a warm-up that all methods learn from. R1, R3 and R10 are the share of "
        "events that are found when a threshold lets 1, 3 or 10 false episodes happen in 10,000 normal rows; *found* is that of the method's own "
        f"alarms (in time order at a budget of {BUDGET:g} a row, otherwise above the 99 % quantile of the warm-up), beside the share that chance "
        "would find at that rate. False episodes are those of a day with a row a second. All are means over kinds of recordings, with 90 % "
        f"intervals from {RESAMPLES} resamples of the recordings; differences of less than .05 are noise.\n\n"
        "`bench/peers/time-order` measures this and writes this section."
    )


def table(pack, folder, entries):
    rows = [
        f"### The {pack} pack\n",
        "| method | R1 | R3 | R10 | found (by chance) | false episodes a day |",
        "|---|---|---|---|---|---|",
    ]
    for name, method in METHODS.items():
        with multiprocessing.Pool() as pool:
            judged = [found for found in pool.map(partial(judge, method, folder), entries, chunksize=1) if found]
        values = measures(judged)
        low, high = intervals(judged)
        cells = [f"{value:.2f} ({a:.2f} to {b:.2f})" for value, a, b in zip(values[:3], low, high)]
        found, chance, false = values[3:]
        cells.append(f"{found:.2f} ({chance:.2f}), {low[3]:.2f} to {high[3]:.2f}")
        cells.append(f"{false:.0f} ({low[5]:.0f} to {high[5]:.0f})")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    n_events = sum(len(one["alarms"]["found"]) for one in judged)
    rows.append(f"\n{len(judged)} recordings with {n_events} events.")
    return "\n".join(rows)


def judge(method, folder, entry):
    """Counts of one recording for each threshold and for the method's own alarms; None where it cannot learn."""
    path = folder / entry["file"]
    label, n_warm_up = evaluate.labels(str(path)), evaluate.warm_up(entry)
    after = label.copy()
    after[:n_warm_up] = 0
    events = evaluate.runs(after == 1, evaluate.GAP)
    record = {"kind": entry["kind"], "label": label, "n": n_warm_up, "events": events}
    scored = method(path, features(path, entry), n_warm_up)
    if scored is None:
        return None
    score, alarm, keeps_budget = scored
    if keeps_budget:
        runs = [evaluate.threshold_run(score, n_warm_up, budget) for budget in evaluate.BUDGETS]
    else:
        # In ranks of the warm-up, so that one threshold means the same for all recordings.
        warm_up = np.sort(score[:n_warm_up])
        excess = (score - np.median(warm_up)) / max(1e-12, np.quantile(warm_up, 0.99) - np.median(warm_up))
        runs = [excess > threshold for threshold in np.geomspace(0.5, 200, THRESHOLDS)]
    return {
        "kind": entry["kind"],
        "alarms": evaluate.judge(record, alarm),
        "curve": [evaluate.judge(record, run) for run in runs],
    }


def table_of_process(entries):
    entries = [(folder, entry) for folder, entry in entries if entry["kind"] == "tep"]
    rows = [
        "### A chemical process\n",
        "The Tennessee Eastman process: the share of the faulty rows whose score is above a threshold that 1 % of the normal rows after "
        "the warm-up exceed, those of all recordings together; the mean over faults.\n",
        "| method | found rows |",
        "|---|---|",
    ]
    for name, method in (METHODS | OF_PROCESS).items():
        with multiprocessing.Pool() as pool:
            scored = [found for found in pool.starmap(partial(scores, method), entries, chunksize=1) if found]
        normal = np.concatenate([score[label == 0] for score, label in scored])
        threshold = np.quantile(normal, 0.99)
        if threshold == normal.max():
            rows.append(f"| {name} | more than 1 % of the normal rows have its highest score |")
            continue
        found = [np.mean(score[label == 1] > threshold) for score, label in scored if (label == 1).any()]
        rows.append(f"| {name} | {100 * np.mean(found):.1f} % |")
    rows.append(f"\n{len(found)} faults.")
    return "\n".join(rows)


def scores(method, folder, entry):
    """The scores and labels of the rows after the warm-up; None where the method cannot learn."""
    path, n_warm_up = folder / entry["file"], evaluate.warm_up(entry)
    scored = method(path, features(path, entry), n_warm_up)
    return scored and (scored[0][n_warm_up:], evaluate.labels(str(path))[n_warm_up:])


def table_of_sensor_faults(entries):
    with multiprocessing.Pool() as pool:
        counted = pool.starmap(sensor_faults, entries, chunksize=1)
    rows = [
        "### Sensor faults\n",
        "Sensor faults of `score --sensor-faults` that begin in rows labelled normal, by kind of recording.\n",
        "| kind | faults | days of sensors | for each sensor in a day |",
        "|---|---|---|---|",
    ]
    for kind, interval_s in INTERVALS_S.items():
        faults = sum(told for (_, entry), (told, _) in zip(entries, counted) if entry["kind"] == kind)
        days = sum(values for (_, entry), (_, values) in zip(entries, counted) if entry["kind"] == kind) * interval_s / 86_400
        rows.append(f"| {kind} | {faults} | {days:,.1f} | {faults / days:.3f} |")
    return "\n".join(rows)


def sensor_faults(folder, entry):
    """The sensor faults that begin in normal rows, and the values in these."""
    path, n_warm_up = folder / entry["file"], evaluate.warm_up(entry)
    names = features(path, entry)
    is_normal = evaluate.labels(str(path)) == 0
    is_normal[:n_warm_up] = False
    told = [(row["sensor_fault"], row["faulty_feature"]) for row in in_order(path, names, n_warm_up, "--sensor-faults")]
    begins = [fault[0] and fault != before for before, fault in zip(told, told[1:])]
    return int(np.sum(np.array([False, *map(bool, begins)]) & is_normal)), int(is_normal.sum()) * len(names)


def measures(judged):
    """R1, R3, R10, found, by chance, and false episodes a day: means over kinds."""
    own = evaluate.per_kind([one["alarms"] for one in judged])
    curves = {kind: [] for kind in own}
    for index in range(len(judged[0]["curve"])):
        for kind, seen in evaluate.per_kind([one["curve"][index] for one in judged]).items():
            curves[kind].append((seen["per10k"], seen["found"]))
    ranked = [np.mean([evaluate.at_rate(curves[kind], rate) for kind in own]) for rate in RATES]
    of_own = lambda name: np.mean([seen[name] for seen in own.values()])
    return np.array([*ranked, of_own("found"), of_own("chance"), of_own("per10k") * DAY_ROWS / 1e4])


def intervals(judged):
    rng = np.random.default_rng(1)
    by_kind = {}
    for one in judged:
        by_kind.setdefault(one["kind"], []).append(one)
    samples = []
    for _ in range(RESAMPLES):
        drawn = [ones[i] for ones in by_kind.values() for i in rng.integers(len(ones), size=len(ones))]
        sample = measures(drawn)
        samples.append(sample)
    return np.nanquantile(samples, [0.05, 0.95], axis=0)


def opened(path):
    return gzip.open(path, "rt", newline="") if path.suffix == ".gz" else open(path, newline="")


def features(path, entry):
    with opened(path) as file:
        names = [name.strip() for name in next(csv.reader(file))]
    others = {"label", "changepoint", entry.get("time_column"), *(entry.get("extra_columns") or [])}
    return [name for name in names if name not in others]


def values(path, names):
    """A column for each name; what is missing stays as it was."""
    with opened(path) as file:
        rows = csv.reader(file)
        titles = [name.strip() for name in next(rows)]
        places = [titles.index(name) for name in names]
        number = lambda cell: float(cell) if cell.strip() else np.nan
        read = np.array([[number(row[place]) for place in places] for row in rows])
    for column in read.T:
        known = np.maximum.accumulate(np.where(np.isfinite(column), np.arange(len(column)), 0))
        column[:] = np.nan_to_num(column[known])
    return read


def in_order(path, names, n_warm_up, *flags):
    """The rows that `score` writes in time order."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out.csv"
        ran = subprocess.run(
            [ROOT / "target/release/score", "--in-time-order", "--warm-up", str(n_warm_up), "--missing", "allow", "--budget", str(BUDGET),
             "--features", ",".join(names), "--input", path, "--output", output, *flags],
            capture_output=True, text=True,
        )
        if ran.returncode != 0:
            sys.exit(f"{path.name}: {ran.stderr}")
        with open(output, newline="") as file:
            return list(csv.DictReader(file))


def in_time_order(path, names, n_warm_up):
    rows = in_order(path, names, n_warm_up)
    if not any(row["threshold"] for row in rows):
        return None
    return np.array([float(row["surprise"]) for row in rows]), np.array([row["alarm"] == "true" for row in rows]), True


def event_by_event(path, names, n_warm_up):
    """A detector trained on the warm-up, which judges each row alone."""
    rows = values(path, names)
    if np.all(rows[:n_warm_up] == rows[0]):
        return None
    with tempfile.TemporaryDirectory() as folder:
        tables = {"warm_up": rows[:n_warm_up], "all": rows}
        for name, table_rows in tables.items():
            np.savetxt(Path(folder) / f"{name}.csv", table_rows, delimiter=",", header=",".join(names), comments="")
        run = lambda *command: subprocess.run(command, capture_output=True, text=True)
        trained = run(ROOT / "target/release/train", "--input", f"{folder}/warm_up.csv", "--model-dir", f"{folder}/models", "--data-dir", folder)
        scored = run(ROOT / "target/release/score", "--model-dir", f"{folder}/models", "--input", f"{folder}/all.csv", "--output", f"{folder}/out.csv")
        if trained.returncode or scored.returncode:
            print(f"{path.name}: {(trained.stderr or scored.stderr).strip()[-200:]}", file=sys.stderr)
            return None
        with open(f"{folder}/out.csv", newline="") as file:
            read = list(csv.DictReader(file))
    score = -np.log(np.array([float(row["p_value"]) for row in read]))
    return score, np.array([row["is_anomaly"] == "true" for row in read]), False


def raw_forest(path, names, n_warm_up):
    rows = values(path, names)
    score = -IsolationForest(random_state=0).fit(rows[:n_warm_up]).score_samples(rows)
    return static(score, n_warm_up)


def rolling_z(path, names, n_warm_up):
    """The largest distance of a value from the mean of the rows before, in their deviations."""
    rows = values(path, names)
    sums, squares = (np.vstack([np.zeros(rows.shape[1]), np.cumsum(power, axis=0)]) for power in (rows, rows**2))
    end = np.arange(len(rows))
    begin = np.maximum(0, end - ROLLING_ROWS)
    n = np.maximum(1, end - begin)[:, None]
    mean = (sums[end] - sums[begin]) / n
    deviation = np.sqrt(np.maximum(0, (squares[end] - squares[begin]) / n - mean**2))
    least = 1e-3 * rows[:n_warm_up].std(axis=0) + 1e-12
    return static((np.abs(rows - mean) / np.maximum(deviation, least)).max(axis=1), n_warm_up)


def half_space_trees(path, names, n_warm_up):
    """Trees of random halves that learn from each row after they have judged it; values lie between those of the warm-up."""
    rows = values(path, names)
    low, high = rows[:n_warm_up].min(axis=0), rows[:n_warm_up].max(axis=0)
    scaled = np.clip((rows - low) / np.maximum(high - low, 1e-12), 0, 1)
    trees = HalfSpaceTrees(seed=0)
    score = np.empty(len(rows))
    for index, row in enumerate(scaled):
        named = dict(enumerate(row))
        score[index] = trees.score_one(named)
        trees.learn_one(named)
    # Until the first window is full, every score is 0.
    return score, score > np.quantile(score[trees.window_size : max(n_warm_up, trees.window_size + 1)], 0.99), False


def principal_components(statistic, path, names, n_warm_up):
    rows = values(path, names)
    mean, deviation = rows[:n_warm_up].mean(axis=0), rows[:n_warm_up].std(axis=0)
    scaled = (rows - mean) / np.maximum(deviation, 1e-12)
    pca = PCA(EXPLAINED).fit(scaled[:n_warm_up])
    projected = pca.transform(scaled)
    if statistic == "T2":
        score = (projected**2 / pca.explained_variance_).sum(axis=1)
    else:
        score = ((scaled - pca.inverse_transform(projected)) ** 2).sum(axis=1)
    return static(score, n_warm_up)


def static(score, n_warm_up):
    return score, score > np.quantile(score[:n_warm_up], 0.99), False


METHODS = {
    "this system, in time order": in_time_order,
    "this system, each row alone": event_by_event,
    "isolation forest (scikit-learn)": raw_forest,
    f"rolling z-score over {ROLLING_ROWS} rows": rolling_z,
    "half-space trees (River)": half_space_trees,
}
OF_PROCESS = {
    "principal components, T2": partial(principal_components, "T2"),
    "principal components, Q": partial(principal_components, "Q"),
}


if __name__ == "__main__":
    main()
