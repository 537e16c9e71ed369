"""Measure the model on the test pictures: accuracy with a 95 % interval, loss, and what is taken for what."""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import yaml

TEST = Path("data/test_data")
MODEL = Path("models/model.pkl")
METRICS = Path("results/evaluate/metrics.json")
PLOTS = Path("results/evaluate/plots")
SIDE = 16


def load(folder: Path, shapes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures as rows of SIDE * SIDE numbers around 0, and their labels as indexes into `shapes`."""
    rows, labels = [], []
    for label, shape in enumerate(shapes):
        for path in sorted((folder / shape).glob("*.pgm")):
            rows.append(np.frombuffer(path.read_bytes()[-SIDE * SIDE :], dtype=np.uint8) / 255.0 - 0.5)
            labels.append(label)
    return np.array(rows), np.array(labels)


def predict(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The probability of every label, one row per picture."""
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    scores = hidden @ weights["w2"] + weights["b2"]
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def interval(right: np.ndarray, samples: int, seed: int) -> tuple[float, float]:
    """The middle 95 % of the accuracy over bootstrap samples of the test pictures."""
    rng = np.random.default_rng(seed)
    means = [right[rng.integers(0, len(right), len(right))].mean() for _ in range(samples)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def write_csv(path: Path, rows: list[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    model = pickle.loads(MODEL.read_bytes())
    shapes = model["shapes"]
    x, labels = load(TEST, shapes)
    probabilities = predict(model["weights"], x)
    predicted = probabilities.argmax(axis=1)
    right = predicted == labels
    low, high = interval(right, params["evaluate"]["bootstrap_samples"], params["base"]["random_seed"])
    metrics = {
        "accuracy": round(float(right.mean()), 6),
        "accuracy_high": round(high, 6),
        "accuracy_low": round(low, 6),
        "loss": round(float(-np.log(probabilities[np.arange(len(x)), labels] + 1e-12).mean()), 6),
    }

    PLOTS.mkdir(parents=True, exist_ok=True)
    METRICS.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    pairs = [(shapes[actual], shapes[guess]) for actual, guess in zip(labels, predicted, strict=True)]
    write_csv(PLOTS / "confusion.csv", [("actual", "predicted"), *pairs])
    for index, shape in enumerate(shapes):
        share = float(right[labels == index].mean())
        print(f"{shape:10} {share:.3f} of {int((labels == index).sum())} recognised", flush=True)
    print(f"accuracy   {metrics['accuracy']:.3f}  (95 %: {low:.3f} to {high:.3f})", flush=True)


if __name__ == "__main__":
    main()
