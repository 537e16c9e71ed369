"""Train a network with one hidden layer to tell the shapes apart, by stochastic gradient descent with NumPy.

Everything written here is the same byte for byte when the stage runs again in the same image: random numbers come
from params.yaml, floats are rounded, and the matrices are too small for a linear algebra library to split over threads.
"""

import csv
import json
import pickle
from pathlib import Path

import numpy as np
import yaml

TRAIN = Path("data/train_data")
MODEL = Path("models/model.pkl")
METRICS = Path("results/train/metrics.json")
PLOTS = Path("results/train/plots")
SIDE = 16


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Pictures as (n, SIDE, SIDE) of 0..1, their labels as indexes, and the names of the labels."""
    shapes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    pictures, labels = [], []
    for label, shape in enumerate(shapes):
        for path in sorted((folder / shape).glob("*.pgm")):
            pixels = np.frombuffer(path.read_bytes()[-SIDE * SIDE :], dtype=np.uint8)
            pictures.append(pixels.reshape(SIDE, SIDE) / 255.0)
            labels.append(label)
    return np.array(pictures), np.array(labels), shapes


def shifted(picture: np.ndarray, max_shift: int, rng: np.random.Generator) -> np.ndarray:
    """The picture moved by a random number of pixels: the cheapest way to more data."""
    down, right = rng.integers(-max_shift, max_shift + 1, size=2)
    return np.roll(picture, (down, right), axis=(0, 1))


def forward(model: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The hidden layer's output and the probability of every label, one row per picture."""
    hidden = np.maximum(x @ model["w1"] + model["b1"], 0)
    scores = hidden @ model["w2"] + model["b2"]
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, exponents / exponents.sum(axis=1, keepdims=True)


def step(
    model: dict[str, np.ndarray], x: np.ndarray, labels: np.ndarray, learning_rate: float
) -> tuple[float, int]:
    """One step down the gradient; returns the batch's summed loss and its number of right answers."""
    rows = np.arange(len(x))
    hidden, probabilities = forward(model, x)
    loss = float(-np.log(probabilities[rows, labels] + 1e-12).sum())
    right = int((probabilities.argmax(axis=1) == labels).sum())

    error = probabilities
    error[rows, labels] -= 1
    error /= len(x)
    hidden_error = (error @ model["w2"].T) * (hidden > 0)
    model["w2"] -= learning_rate * (hidden.T @ error)
    model["b2"] -= learning_rate * error.sum(axis=0)
    model["w1"] -= learning_rate * (x.T @ hidden_error)
    model["b1"] -= learning_rate * hidden_error.sum(axis=0)
    return loss, right


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    train = params["train"]
    rng = np.random.default_rng(params["base"]["random_seed"])
    pictures, labels, shapes = load(TRAIN)
    print(f"{len(pictures)} pictures of {', '.join(shapes)}", flush=True)

    inputs, hidden_units = SIDE * SIDE, train["hidden_units"]
    model = {
        "w1": rng.normal(0, np.sqrt(2 / inputs), (inputs, hidden_units)),
        "b1": np.zeros(hidden_units),
        "w2": rng.normal(0, np.sqrt(2 / hidden_units), (hidden_units, len(shapes))),
        "b2": np.zeros(len(shapes)),
    }
    curve = []
    for epoch in range(1, train["epochs"] + 1):
        loss, right = 0.0, 0
        order = rng.permutation(len(pictures))
        for start in range(0, len(order), train["batch_size"]):
            batch = order[start : start + train["batch_size"]]
            moved = [shifted(pictures[i], train["max_shift"], rng) for i in batch]
            x = np.array(moved).reshape(len(batch), inputs) - 0.5
            batch_loss, batch_right = step(model, x, labels[batch], train["learning_rate"])
            loss, right = loss + batch_loss, right + batch_right
        curve.append((epoch, round(loss / len(order), 6), round(right / len(order), 6)))
        if epoch % 5 == 0:
            _, mean_loss, accuracy = curve[-1]
            print(
                f"epoch {epoch:3}/{train['epochs']}  loss {mean_loss:.4f}  accuracy {accuracy:.3f}",
                flush=True,
            )

    save(model, shapes, curve)


def save(model: dict[str, np.ndarray], shapes: list[str], curve: list[tuple[int, float, float]]) -> None:
    """Write the model, the metrics of the last epoch and the learning curve."""
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    PLOTS.mkdir(parents=True, exist_ok=True)
    rounded = {name: np.round(weights, 6) for name, weights in model.items()}
    MODEL.write_bytes(pickle.dumps({"shapes": shapes, "weights": rounded}, protocol=4))
    metrics = {"accuracy": curve[-1][2], "epochs": curve[-1][0], "loss": curve[-1][1]}
    METRICS.write_text(json.dumps(metrics, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    with (PLOTS / "learning_curve.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("epoch", "loss", "accuracy"), *curve])


if __name__ == "__main__":
    main()
