"""A mixture as the prior of a small network's weights: it learns to make do with three values.

Soft weight-sharing (Nowlan & Hinton 1992): the loss of a network that reads digits gets a second
term, −log p(w) of all its weights under a mixture in one dimension, one component of which stays at
zero. The mixture is learned with the network, by gradients through ``log_density`` to its input and
to its own parameters, and the weights gather about its means. Each of them may then be put at the
mean of the component responsible for it, which leaves about 94 % of unseen digits read right. The
same done to a network that was trained without the prior takes it from 98 % to 79 %.

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
from sklearn.model_selection import train_test_split

import mixtura as mx

try:
    import torch
except ImportError:
    print("this example needs PyTorch: pip install 'mixtura[torch]'")
    raise SystemExit(0) from None

BLUE, ORANGE, GREY = "#2563a8", "#d9722b", "#b8bdc4"
K, STEPS, STRENGTH = 3, 1500, 0.5


class Prior(torch.nn.Module):
    """A mixture in one dimension that learns; its first component stays at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor([3.0] + [0.0] * (K - 1)))
        self.means = torch.nn.Parameter(torch.linspace(-0.6, 0.6, K - 1))
        self.log_sd = torch.nn.Parameter(torch.full((K,), -2.5))

    def mixture(self) -> mx.Mixture:
        """What the parameters describe now."""
        means = torch.cat([torch.zeros(1), self.means])[:, None]
        variances = torch.exp(2 * self.log_sd) + 1e-4
        return mx.Mixture(torch.softmax(self.logits, 0), means, variances)


def network() -> torch.nn.Sequential:
    """64 pixels, 48 hidden units, 10 digits."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(64, 48), torch.nn.ReLU(), torch.nn.Linear(48, 10))


def weights_of(net: torch.nn.Sequential) -> torch.Tensor:
    """All weights, without the biases (n, 1)."""
    return torch.cat([net[0].weight.flatten(), net[2].weight.flatten()])[:, None]


def train(net: torch.nn.Sequential, prior: Prior | None, x: torch.Tensor, y: torch.Tensor) -> None:
    """Minimise the mean of −log p(digit | pixels), plus −log p(weights) for each row."""
    groups = [{"params": net.parameters(), "lr": 4e-3}]
    if prior is not None:
        groups.append({"params": prior.parameters(), "lr": 4e-3})
    optimiser = torch.optim.Adam(groups)
    for step in range(STEPS):
        rows = torch.randint(len(x), (128,))
        loss = torch.nn.functional.cross_entropy(net(x[rows]), y[rows])
        if prior is not None and step > STEPS // 5:
            log_prior = prior.mixture().log_density(weights_of(net)).sum()
            loss = loss - STRENGTH * log_prior / len(x)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def share(net: torch.nn.Sequential, mix: mx.Mixture) -> torch.nn.Sequential:
    """The network with each weight at the mean of the component responsible for it."""
    shared = network()
    shared.load_state_dict(net.state_dict())
    with torch.no_grad():
        for layer in (shared[0], shared[2]):
            flat = layer.weight.reshape(-1, 1)
            chosen = mix.responsibilities(flat).argmax(dim=1)
            layer.weight.copy_(mix.means[chosen].reshape(layer.weight.shape))
    return shared


def draw(picture: Path) -> None:
    """Train without and with the prior, share the weights of both, and draw them."""
    pixels, digits = load_digits(return_X_y=True)
    parts = train_test_split(pixels / 16, digits, test_size=0.3, random_state=0)
    x, unseen = (torch.tensor(p, dtype=torch.float32) for p in parts[:2])
    y, answer = (torch.tensor(p) for p in parts[2:])

    def accuracy(net: torch.nn.Sequential) -> float:
        return 100 * float((net(unseen).argmax(dim=1) == answer).float().mean())

    plain, net, prior = network(), network(), Prior()
    train(plain, None, x, y)
    train(net, prior, x, y)
    learned = prior.mixture().to("torch")
    # without a prior, the best that can be done is a mixture fitted afterwards
    fitted = mx.GaussianMixture(K, random_state=0).fit(weights_of(plain).detach().numpy()).mixture_

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")
    rows = []
    cases = [
        ("no prior", plain, fitted.to("torch", dtype="float32")),
        ("the mixture", net, learned),
    ]
    for axes, (name, trained, mix) in zip(panels, cases, strict=False):
        before, after = accuracy(trained), accuracy(share(trained, mix))
        w = weights_of(trained).detach().numpy()[:, 0]
        grid = np.linspace(-1.2, 1.2, 2001)
        density = np.exp(mix.to("numpy").log_density(grid[:, None]))
        axes.hist(w, bins=np.linspace(-1.2, 1.2, 161), density=True, color=GREY, label="weights")
        axes.plot(grid, density, color=BLUE, linewidth=1.2, label="mixture")
        axes.set(yscale="log", ylim=(1e-3, 2 * density.max()), xlabel="weight")
        axes.set_title(f"prior: {name}", loc="left", fontweight="bold")
        zero = np.mean(np.asarray(weights_of(share(trained, mix)).detach()) == 0)
        said = f"{before:.1f} % right, {after:.1f} % with {K} values"
        print(f"{name}: {said}, {100 * zero:.0f} % of them zero")
        rows.append((name, before, after))
    panels[0].set(ylabel="density")
    panels[0].legend(frameon=False, loc="upper right", fontsize=9)

    for shift, color, label, i in ((-0.2, GREY, "as trained", 1), (0.2, ORANGE, f"{K} values", 2)):
        right = [row[i] for row in rows]
        bars = panels[2].bar(np.arange(2) + shift, right, 0.36, color=color, label=label)
        panels[2].bar_label(bars, fmt="%.1f", padding=2)
    panels[2].set(xticks=[0, 1], xticklabels=[name for name, *_ in rows], ylim=(0, 120))
    panels[2].set_yticks(range(0, 101, 20))
    panels[2].legend(frameon=False, loc="upper right", ncols=2, fontsize=9)
    panels[2].set_title("unseen digits read right, %", loc="left", fontweight="bold")

    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("torch_prior.png"))
