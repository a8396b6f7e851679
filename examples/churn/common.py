"""What training and serving share: the customers, and the types that a model's file can contain. It needs no MLflow."""

import numpy as np
import pandas as pd

TARGET = "churned"
CATEGORIES = ["contract", "payment_method", "internet"]
SEED = 20240229
# MLflow saves with skops, which loads trees only from files that you trust, such as those from train.py.
TREES = ["sklearn.tree._tree.Tree"]


def load_data(rows: int = 6_000, seed: int = SEED, dearer: float = 0.0) -> pd.DataFrame:
    """Return made-up customers and whether they left, the same for each seed. `dearer`: how much more everyone pays."""
    rng = np.random.default_rng(seed)
    tenure = rng.gamma(2.0, 14.0, rows).clip(0, 72).round()
    contract = rng.choice(["monthly", "one year", "two years"], rows, p=[0.55, 0.25, 0.20])
    internet = rng.choice(["fibre", "dsl", "none"], rows, p=[0.45, 0.35, 0.20])
    charges = (20 + 45 * (internet == "fibre") + 25 * (internet == "dsl") + rng.gamma(4, 5, rows) + dearer).round(2)
    calls = rng.poisson(1.2 + 1.3 * (internet == "fibre"), rows).astype(float)
    monthly = contract == "monthly"
    pull = (
        -2.9
        + 2.6 * monthly * (tenure < 12)
        + 1.9 * (calls >= 4) * (contract != "two years")
        + 1.6 * monthly * (charges > 75)
        + 1.5 * (tenure > 20) * (tenure < 28) * (contract == "two years")
        - 0.02 * tenure
    )
    return pd.DataFrame(
        {
            # Floats, even for whole numbers: MLflow's integer columns can't have missing values later.
            "tenure": tenure,
            "monthly_charges": charges,
            "support_calls": calls,
            "contract": contract,
            "internet": internet,
            "payment_method": rng.choice(["card", "transfer", "cheque"], rows, p=[0.5, 0.35, 0.15]),
            TARGET: rng.random(rows) < 1 / (1 + np.exp(-2 * pull)),
        }
    )
