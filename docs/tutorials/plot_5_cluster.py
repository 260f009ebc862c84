"""
A study on a cluster
====================

A study is a pure function of frozen specs and a grid of specs. The engine keeps every result in one file, computes only
what is missing, and gives the same bits whatever the number of workers: start on this machine, go on on a cluster.
"""

# %%
# The cells
# ---------
# They stand in a module of their own, ``rates_cells.py``, because workers import it:
#
# .. literalinclude:: ../tutorials/rates_cells.py
#    :start-at: @dataclass
#
# Stop it when you like
# ---------------------
# First on this machine, where time is up before the end: no cell is started after ``time_limit`` seconds.
import tempfile

from rates_cells import Spec, run_cell

from sfbench.experiments import RunSettings, make_study, run_study

grid = [Spec(n, k, seed) for n in (64, 256, 1024, 4096) for k in (2, 8) for seed in range(10)]
study = make_study("rates", run_cell, grid)
folder = tempfile.mkdtemp()
records, outcome = run_study(study, folder, RunSettings(time_limit=0.5))
print(outcome.summary())

# %%
# Go on, on a Dask cluster
# ------------------------
# ``"local"`` starts two workers of Dask here, with keys of their own; a cluster that is there has an address,
# ``tcp://host:8786``, and Slurm starts the workers with ``dask-jobqueue``: :doc:`/studies`. What the first run kept is
# not computed again.
records, outcome = run_study(study, folder, RunSettings(n_jobs=2, scheduler="local"))
print(outcome.summary())

# %%
# Nothing is left to do: the same call again computes nothing, on any number of workers.
records, outcome = run_study(study, folder, RunSettings(n_jobs=1))
print(outcome.summary())

# %%
# The figure
# ----------
# Medians and ranges over the seeds. ``sfbench report FOLDER`` makes an interactive page of all columns, and ``sfbench
# study status FOLDER`` says what is there.
import numpy as np
from matplotlib import pyplot as plt

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
sizes = np.unique([spec.n for spec in grid])
for k in (2, 8):
    tv = np.array([[row["tv"] for row in records if (row["n"], row["k"]) == (n, k)] for n in sizes])
    low, middle, high = np.quantile(tv, [0, 0.5, 1], axis=1)
    ax.errorbar(sizes, middle, [middle - low, high - middle], fmt="o-", capsize=3, label=f"k = {k}")
ax.loglog(sizes, middle[0] * (sizes / sizes[0]) ** -0.5, color="0.4", ls=":", label="slope -1/2")
ax.set(xlabel="samples of the target", ylabel="total variation to the target")
ax.legend(frameon=False)
plt.show()
