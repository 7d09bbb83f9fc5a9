"""``mixtura sample``: new rows from a model."""

from __future__ import annotations

from typing import Annotated

import typer

from mixtura.cli.arguments import Model, Seed, TableOut
from mixtura.cli.files import check_source, check_target
from mixtura.cli.reading import read

__all__ = ["sample"]


def sample(
    model: Model,
    n: Annotated[
        int, typer.Option("-n", "--rows", help="How many rows.", metavar="N", min=1)
    ] = 1000,
    seed: Seed = 0,
    output: TableOut = None,
    labels: Annotated[
        bool,
        typer.Option("--labels", help="Add the component (from 0) that each row came from."),
    ] = False,
) -> None:
    r"""Draw new rows from a model.

    [bold]Examples[/bold]

    \b
      mixtura sample data.safetensors -n 1000 > new.csv
      mixtura sample data.safetensors -n 1000000 --seed 7 --output new.parquet
    """
    import numpy as np
    import pyarrow as pa

    from mixtura.cli import tableout
    from mixtura.errors import InputError

    check_source(model, "a model file")
    if output is not None:
        check_target("--output", output, [("the model", model)])
    mixture, _ = read(model)
    names = list(mixture.columns or (f"x{i}" for i in range(mixture.d)))
    if labels and "component" in names:
        raise InputError(
            "expected a model without a column called 'component', got one; leave --labels out"
        )
    rng = np.random.default_rng(seed)
    with tableout.writing(output) as write:
        for start, stop in tableout.batches(n, mixture.d):
            x, component = mixture.sample(stop - start, rng, return_labels=True)
            batch = {name: np.ascontiguousarray(x[:, j]) for j, name in enumerate(names)}
            if labels:
                batch["component"] = component.astype(np.int32)
            write(pa.table(batch))
