"""What a careful user writes with PyTorch, a DataLoader and torchattacks: table (b) holds the program against it.

Nothing of this project is imported, nothing is slowed on purpose and nothing is clever: every model of a grid is trained,
then attacked once for each attack and ε, with torch's own number of threads.

    python plain_script.py data.npz results.json --epochs 3
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

OPTIMIZERS = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}
EPS = [0.05, 0.1, 0.15, 0.3]


class Digits(Dataset):
    """Images as torchvision's MNIST gives them: one at a time, through a transform."""

    def __init__(self, images, labels):
        self.images, self.labels = images, labels
        self.transform = transforms.ToTensor()

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(self.images[index]), int(self.labels[index])


def make_model(activation):
    return nn.Sequential(
        nn.Conv2d(1, 64, 8, stride=2, padding=3), activation(),
        nn.Conv2d(64, 128, 6, stride=2), activation(),
        nn.Conv2d(128, 128, 5), activation(),
        nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(128, 128), activation(),
        nn.Linear(128, 10),
    )  # fmt: skip


def train(model, optimizer, loader, epochs):
    criterion = nn.CrossEntropyLoss()
    model.train()
    for _ in range(epochs):
        for images, labels in loader:
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()


def accuracy(model, loader, attack=None):
    right = total = 0
    for images, labels in loader:
        if attack is not None:
            images = attack(images, labels)
        with torch.no_grad():
            right += (model(images).argmax(dim=1) == labels).sum().item()
        total += len(labels)
    return right / total


def main():
    import torchattacks  # here, since `make gpu` takes the model above where there is no torchattacks

    parser = argparse.ArgumentParser()
    parser.add_argument("data", help="x_train, y_train, x_test, y_test; images uint8 [n, h, w]")
    parser.add_argument("results")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--attack-batch", type=int, default=256)
    parser.add_argument("--workers", type=int, default=0)
    args = parser.parse_args()

    data = np.load(args.data)
    train_loader = DataLoader(
        Digits(data["x_train"], data["y_train"]), batch_size=args.batch, shuffle=True, num_workers=args.workers
    )
    test_loader = DataLoader(
        Digits(data["x_test"], data["y_test"]), batch_size=args.attack_batch, num_workers=args.workers
    )
    results = []
    for optimizer_name, make_optimizer in OPTIMIZERS.items():
        for activation_name, activation in ACTIVATIONS.items():
            begun = time.perf_counter()
            torch.manual_seed(0)
            model = make_model(activation)
            train(model, make_optimizer(model.parameters(), lr=0.001), train_loader, args.epochs)
            trained = time.perf_counter()
            model.eval()
            row = {"optimizer": optimizer_name, "activation": activation_name, "clean": accuracy(model, test_loader)}
            for eps in EPS:
                row[f"fgsm {eps:g}"] = accuracy(model, test_loader, torchattacks.FGSM(model, eps=eps))
                pgd = torchattacks.PGD(model, eps=eps, alpha=0.01, steps=40, random_start=True)
                row[f"pgd {eps:g}"] = accuracy(model, test_loader, pgd)
            row["train_seconds"] = trained - begun
            row["attack_seconds"] = time.perf_counter() - trained
            results.append(row)
            print(row, flush=True)
    Path(args.results).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
