"""
A paper figure
==============

From a fit to a file that a journal takes: one column wide, fonts embedded, every number from an object that knows its
law. All figures of the toolkit draw on axes that you give, so layout and style stay yours.
"""

import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

import sfbench
from synthetic import LogLinearPool, make_problem

problem = make_problem("paper_mixture_1d", scale=6.0)
weights, process = (0.5, 0.5), sfbench.OrnsteinUhlenbeck()
score = sfbench.FusedScore(problem.auxiliaries, weights, process=process)
fused, barycenter = sfbench.laws.fokker_planck_1d(score), LogLinearPool(problem.auxiliaries, weights)
samples = {name: sfbench.sample(score, 4000, name, rng=0) for name in ("fused", "corrected")}

# %%
# The figure
# ----------
# Sizes in inches as the journal prints them, so that 8 points are 8 points. Type 42 embeds TrueType fonts, which
# submission systems ask for; colours stay apart in print and for readers who see few of them.
STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
}
LAWS = {"fused": (fused, "C0", r"fused law $P_w$"), "corrected": (barycenter, "C1", r"KL barycenter $p_w$")}
grid = np.linspace(-2.5, 2.5, 500)[:, None]
file = Path(tempfile.mkdtemp()) / "laws.pdf"

with mpl.rc_context(STYLE):
    figure, axes = plt.subplots(1, 2, figsize=(6.75, 2.2), sharex=True, sharey=True, layout="constrained")
    for ax, (name, drawn), letter in zip(axes, samples.items(), "ab", strict=True):
        law, colour, label = LAWS[name]
        importance = np.exp(drawn.log_weights)
        bins = np.linspace(-2.5, 2.5, 81)
        ax.hist(drawn.x[:, 0], bins, weights=importance, density=True, color="0.8", label="samples")
        ax.plot(grid, np.exp(law.log_prob(grid)), color=colour, label=label)
        ax.set_title(f"({letter}) {name} sampler", loc="left")
        ax.set_xlabel("$x$")
        ax.legend(frameon=False)
    axes[0].set_ylabel("density")
    figure.savefig(file, metadata={"Title": "Two laws behind one averaged score", "CreationDate": None})
print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")

# %%
# What stands in the caption
# --------------------------
# Distances carry their errors, and each sample says which law it follows and how it was drawn.
print(sfbench.metrics.total_variation(fused, barycenter))
for drawn in samples.values():
    print(drawn)

# %%
# A study that is kept has its figures on the page of ``sfbench report FOLDER``, whose camera saves them as SVG;
# ``sfbench study export FOLDER`` writes its numbers for a script such as this one (:doc:`/studies`).
