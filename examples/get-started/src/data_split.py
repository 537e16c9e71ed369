"""Split the pool into training and test pictures, keeping the share of every shape the same in both."""

import random
import shutil
from pathlib import Path

import yaml

POOL = Path("data/pool_data")
TRAIN = Path("data/train_data")
TEST = Path("data/test_data")


def main() -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    rng = random.Random(params["base"]["random_seed"])
    test_share = params["data_split"]["test_share"]

    for folder in (TRAIN, TEST):
        shutil.rmtree(folder, ignore_errors=True)
    for shape in sorted(path for path in POOL.iterdir() if path.is_dir()):
        pictures = sorted(shape.glob("*.pgm"))
        rng.shuffle(pictures)
        n_test = round(len(pictures) * test_share)
        for folder, chosen in ((TEST, pictures[:n_test]), (TRAIN, pictures[n_test:])):
            (folder / shape.name).mkdir(parents=True)
            for picture in chosen:
                shutil.copyfile(picture, folder / shape.name / picture.name)
        print(
            f"{shape.name:10} {len(pictures) - n_test:4} to train with, {n_test:4} to test with", flush=True
        )


if __name__ == "__main__":
    main()
