"""A mixture as the prior of a small network: digits, unlabelled, find their clusters.

A variational autoencoder draws 8 × 8 pictures of digits as points z in a plane. Its prior p(z) is
usually one Gaussian; here it is a mixture whose weights, means and covariances are learned with the
network, by gradients through ``log_density``. Each draw decodes the prior's own components.

Run from anywhere: python examples/torch_prior.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import mixtura as mx

try:
    import torch
except ImportError:
    print("this example needs PyTorch: pip install 'mixtura[torch]'")
    raise SystemExit(0) from None

K, STEPS, BATCH = 12, 900, 256


def layers(*sizes: int) -> torch.nn.Sequential:
    """A small network."""
    stack: list[torch.nn.Module] = []
    for a, b in zip(sizes[:-1], sizes[1:], strict=True):
        stack += [torch.nn.Linear(a, b), torch.nn.SiLU()]
    return torch.nn.Sequential(*stack[:-1])


class Autoencoder(torch.nn.Module):
    """An encoder q(z | x), a decoder p(x | z), and a mixture p(z) between them."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.encode, self.decode = layers(64, 128, 4), layers(2, 128, 64)
        self.logits = torch.nn.Parameter(torch.zeros(k))
        self.means = torch.nn.Parameter(0.8 * torch.randn(k, 2) if k > 1 else torch.zeros(k, 2))
        self.roots = torch.nn.Parameter(torch.eye(2).repeat(k, 1, 1) / k**0.5)

    def prior(self) -> mx.Mixture:
        """The mixture that the parameters describe now."""
        covariances = self.roots @ self.roots.mT + 1e-3 * torch.eye(2)
        return mx.Mixture(torch.softmax(self.logits, 0), self.means, covariances)

    def bound(self, x: torch.Tensor) -> torch.Tensor:
        """The evidence lower bound of each picture, in nats, from one draw of z."""
        mean, log_sd = self.encode(x).chunk(2, dim=1)
        noise = torch.randn_like(mean)
        z = mean + log_sd.exp() * noise
        log_q = (-0.5 * (noise**2 + np.log(2 * np.pi)) - log_sd).sum(dim=1)
        log_x = torch.distributions.ContinuousBernoulli(logits=self.decode(z)).log_prob(x)
        return log_x.sum(dim=1) + self.prior().log_density(z) - log_q


def train(x: torch.Tensor, k: int) -> tuple[Autoencoder, float]:
    """A trained autoencoder, and its mean bound on every fifth picture, which it did not see."""
    torch.manual_seed(0)
    model, held_out = Autoencoder(k), torch.arange(len(x)) % 5 == 0
    seen = x[~held_out]
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=STEPS)
    for _ in range(STEPS):
        loss = -model.bound(seen[torch.randint(len(seen), (BATCH,))]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return model, float(torch.stack([model.bound(x[held_out]).mean() for _ in range(50)]).mean())


def draw(picture: Path) -> None:
    """Train with one Gaussian and with a mixture, and draw both planes."""
    pixels, digits = load_digits(return_X_y=True)
    x = torch.tensor(pixels / 16, dtype=torch.float32)
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")

    for axes, k in zip(panels, (1, K), strict=False):
        model, bound = train(x, k)
        with torch.no_grad():
            z = model.encode(x)[:, :2].numpy()
            prior = model.prior().to("numpy")
        axes.scatter(*z.T, c=digits, s=4, cmap="tab10", linewidths=0)
        side = np.linspace(0, 2 * np.pi, 60)
        circle = 2 * np.stack([np.cos(side), np.sin(side)])
        for weight, mean, root in zip(
            prior.weights, prior.means, np.linalg.cholesky(prior.covariance.dense()), strict=True
        ):
            strength = min(1.0, 0.2 + weight * k / 2)
            axes.plot(*(mean[:, None] + root @ circle), color="#222222", lw=1, alpha=strength)
        name = "one Gaussian" if k == 1 else f"a mixture of {k}"
        axes.set_title(f"prior: {name}", loc="left", fontweight="bold")
        axes.set(xlabel=f"held out: {bound:.1f} nats per digit", xticks=[], yticks=[])
        print(f"prior: {name}, held-out bound {bound:.2f} nats per digit")

    # pictures drawn from each component, the heaviest first
    order = np.argsort(-prior.weights)
    tiles = np.zeros((K * 9, 8 * 9))
    for row, j in enumerate(order):
        component = mx.Mixture([1.0], prior.means[[j]], prior.covariance.take([j]))
        with torch.no_grad():
            logits = model.decode(component.to("torch", dtype="float32").sample(8, rng=row))
            drawn = torch.sigmoid(logits).numpy().reshape(8, 8, 8)
        for column, tile in enumerate(drawn):
            tiles[9 * row : 9 * row + 8, 9 * column : 9 * column + 8] = tile
    panels[2].imshow(tiles, cmap="gray_r", vmin=0, vmax=1, aspect="equal")
    panels[2].set_title("draws from each component", loc="left", fontweight="bold")
    panels[2].axis("off")

    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("torch_prior.png"))
