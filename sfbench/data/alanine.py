r"""Alanine dipeptide in implicit solvents: a real molecule whose KL barycenters are known exactly.

The law of the 66 coordinates x (in nanometres) at temperature T is ``p(x) ~ exp(-U(x) / kT)``, so its score is
``F(x) / kT`` with F the force. The KL barycenter of such laws has the energy ``sum_i w_i U_i``. In the generalised Born
model the solvent enters through ``-(1 - 1/eps) B(x)`` alone, with B independent of eps (and no surface term), so vacuum
(eps = 1) and water (eps = 78.5) at weights (1 - w, w) mix into the physical solvent

    eps = 1 / (1 - w (1 - 1/78.5)),

whose scores and samples exist without any approximation: :func:`mixed_dielectric`. Nothing is fitted or trained.

Energies are those of OpenMM's Reference platform (float64), force field ff96, solvent model OBC2 (OBC1 runs as an
interpreted expression, 30 times slower). The laws are invariant under rotations and translations: they have no
normalising constant on R^66, and samples are centred. Transitions to the rare basin ``phi > 0`` take longer than the
simulations here: compare torsions where ``phi < 0``.
"""

import math
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import Float64Array, FloatArray, SeedLike
from .._internal.validation import as_generator
from .catalogue import CATALOGUE
from .entry import Arrays, Files
from .errors import DataError
from .places import find_files

WATER = 78.5
DIM = 66
_TEMPERATURE = 300.0
_GAS_CONSTANT = 8.31446261815324e-3  # kJ / (mol K)
_MOST_NOISE = 1e-3  # nm; bonds vibrate by 0.003 nm
_PHI, _PSI = (4, 6, 8, 14), (6, 8, 14, 16)
_STEP, _EVERY, _SETTLE, _FRICTION = 2e-3, 300, 20_000, 1.0  # ps; steps between samples; steps before them; 1 / ps
_HYDROGEN = 4.0  # dalton, taken from the heavy atom: positions have the same law, and steps may be twice as long
_PER_SOLVENT, _SEED = 1000, 20_240_620
_CHAINS, _PER_CHAIN = 10, 850


class NoiseScale(Protocol):
    """What is needed of a forward process."""

    def alpha(self, t: ArrayLike) -> Float64Array:
        """Signal scale."""

    def sigma(self, t: ArrayLike) -> Float64Array:
        """Noise standard deviation."""


def mixed_dielectric(w: float) -> float:
    """Dielectric constant of the KL barycenter of vacuum and water at weights (1 - w, w)."""
    if not 0.0 <= w <= 1.0:
        raise DataError(f"w is a weight and must lie in [0, 1], got {w!r}")
    return 1.0 / (1.0 - w * (1.0 - 1.0 / WATER))


@final
@dataclass(frozen=True)
class AlanineScore:
    """Exact score of alanine dipeptide in a solvent: a score model for times whose noise is far below all vibrations.

    Parameters
    ----------
    dielectric : float
        Of the solvent: 1 is vacuum, 78.5 water, `mixed_dielectric(w)` their barycenters.
    process : ForwardProcess, optional
        With it, ``score(x, t)`` is that of the law at time t while ``sigma_t <= 1e-3`` nm, up to a relative error of
        the order of ``(sigma_t / 0.003 nm)^2``; noisier laws of a molecule are not known and are refused. Without it,
        only t = 0 is answered.

    Raises
    ------
    DataUnavailable
        If OpenMM or the molecule's files are missing.
    """

    dielectric: float
    process: NoiseScale | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.dielectric < math.inf:
            raise DataError(f"dielectric must be a finite number of at least 1, got {self.dielectric!r}")

    @property
    def dim(self) -> int:
        """Dimension: 22 atoms, three coordinates each."""
        return DIM

    def energy(self, x: ArrayLike) -> Float64Array:
        """``U(x) / kT`` at points x (n, 66), shape (n,)."""
        return np.array([self._state(point, getEnergy=True).getPotentialEnergy()._value for point in _points(x)]) / _KT

    def score(self, x: FloatArray, t: float = 0.0) -> FloatArray:
        """Score at points x (n, 66) and time t, shape (n, 66)."""
        alpha = self._signal(t)
        points = _points(x) / alpha
        forces = np.empty_like(points)
        for i, point in enumerate(points):
            forces[i] = self._state(point, getForces=True).getForces(asNumpy=True)._value.ravel()
        return forces / (_KT * alpha)

    def score_and_divergence(self, x: FloatArray, t: float = 0.0) -> tuple[FloatArray, FloatArray]:
        """Score (n, 66) and its divergence (n,), the latter by central differences: 132 further forces a point."""
        points, step = _points(x), 1e-5
        divergence = np.zeros(len(points))
        for axis in range(DIM):
            shift = np.zeros(DIM)
            shift[axis] = step
            ahead, behind = self.score(points + shift, t), self.score(points - shift, t)
            divergence += (ahead[:, axis] - behind[:, axis]) / (2 * step)
        return self.score(points, t), divergence

    def sample(self, n: int, *, rng: SeedLike = None) -> Float64Array:
        """Draw n points of a Langevin trajectory, (n, 66), centred, 0.6 ps apart after 40 ps that are thrown away.

        Neighbours are correlated. Steps of 2 fs with hydrogens of 4 dalton (positions do not depend on masses),
        friction 1 / ps, 300 K; the same seed gives the same points on one machine, not on all.
        """
        import openmm

        if n < 1:
            raise DataError(f"n must be at least 1, got {n!r}")
        seeds = as_generator(rng).integers(1, 2**31 - 1, size=2)
        integrator = openmm.LangevinMiddleIntegrator(_TEMPERATURE, _FRICTION, _STEP)
        integrator.setRandomNumberSeed(int(seeds[0]))
        context = self._context_with(integrator)
        openmm.LocalEnergyMinimizer.minimize(context)
        context.setVelocitiesToTemperature(_TEMPERATURE, int(seeds[1]))
        integrator.step(_SETTLE)
        points = np.empty((n, DIM // 3, 3))
        for i in range(n):
            integrator.step(_EVERY)
            points[i] = context.getState(getPositions=True).getPositions(asNumpy=True)._value
        return _centred(points)

    def move(self, x: FloatArray, n_steps: int, *, rng: SeedLike = None) -> Float64Array:
        """Centred points (n, 66) after n_steps of 2 fs of Langevin dynamics from x (n, 66), with fresh velocities.

        Leaves the law as it is, up to the error of the steps (well below 0.01 kT of energy in a mode). Costs about 40
        microseconds for a step of a point.
        """
        if n_steps < 1:
            raise DataError(f"n_steps must be at least 1, got {n_steps!r}")
        points, generator = _points(x), as_generator(rng)
        context, moved = self._mover, np.empty((len(points), DIM // 3, 3))
        context.getIntegrator().setRandomNumberSeed(int(generator.integers(1, 2**31 - 1)))
        context.reinitialize()  # or the seed is not looked at
        seeds = generator.integers(1, 2**31 - 1, size=len(points))
        for i, (point, seed) in enumerate(zip(points, seeds, strict=True)):
            context.setPositions(point.reshape(-1, 3))
            context.setVelocitiesToTemperature(_TEMPERATURE, int(seed))
            context.getIntegrator().step(n_steps)
            moved[i] = context.getState(getPositions=True).getPositions(asNumpy=True)._value
        return _centred(moved)

    def __getstate__(self) -> dict[str, Any]:
        """Without the simulation context, which belongs to one process."""
        return {"dielectric": self.dielectric, "process": self.process}

    def _signal(self, t: float) -> float:
        if t == 0.0:
            return 1.0
        if self.process is None:
            raise DataError(f"without a process the score is known at t = 0 only, got t = {t!r}; pass process=")
        sigma = float(self.process.sigma(t))
        if not sigma <= _MOST_NOISE:
            raise DataError(
                f"at t = {t:.3g} the noise is {sigma:.2g} nm; scores of a molecule are known up to {_MOST_NOISE:g} nm: "
                "choose t_max so that sigma is below (Ornstein-Uhlenbeck: 5e-7)"
            )
        return float(self.process.alpha(t))

    def _state(self, point: Float64Array, **wanted: bool) -> Any:
        self._context.setPositions(point.reshape(-1, 3))
        return self._context.getState(**wanted)

    @cached_property
    def _context(self) -> Any:
        import openmm

        return self._context_with(openmm.VerletIntegrator(_STEP))

    @cached_property
    def _mover(self) -> Any:
        import openmm

        return self._context_with(openmm.LangevinMiddleIntegrator(_TEMPERATURE, _FRICTION, _STEP))

    def _context_with(self, integrator: Any) -> Any:
        import openmm
        from openmm import app, unit

        files, _ = find_files(CATALOGUE["alanine"])
        with tempfile.TemporaryDirectory() as folder:  # OpenMM reads Amber files by path
            for name, content in files.items():
                Path(folder, name).write_bytes(content)
            topology = app.AmberPrmtopFile(str(Path(folder, "alanine.prmtop")))
            start = app.AmberInpcrdFile(str(Path(folder, "alanine.crd"))).getPositions(asNumpy=True)
        system = topology.createSystem(
            nonbondedMethod=app.NoCutoff,
            constraints=None,
            rigidWater=False,
            removeCMMotion=False,
            implicitSolvent=app.OBC2,
            solventDielectric=self.dielectric,
            soluteDielectric=1.0,
            hydrogenMass=_HYDROGEN * unit.dalton,
            gbsaModel=None,  # no surface term: it would not scale with the dielectric
        )
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(start)
        return context


_KT = _GAS_CONSTANT * _TEMPERATURE
_DIELECTRICS = (1.0, mixed_dielectric(0.5), WATER)  # of the catalogue's classes


def torsions(x: ArrayLike) -> Float64Array:
    """The backbone angles phi and psi of points x (n, 66), in radians in (-pi, pi], shape (n, 2)."""
    atoms = _points(x).reshape(-1, DIM // 3, 3)
    return np.stack([_dihedral(atoms[:, list(four)]) for four in (_PHI, _PSI)], axis=1)


def _dihedral(atoms: Float64Array) -> Float64Array:
    """Angles of four atoms each, (n, 4, 3) -> (n,)."""
    first, axis, last = np.moveaxis(np.diff(atoms, axis=1), 1, 0)
    left, right = np.cross(first, axis), np.cross(axis, last)
    sine = (np.cross(left, right) * axis).sum(axis=1) / np.linalg.norm(axis, axis=1)
    return np.asarray(np.arctan2(sine, (left * right).sum(axis=1)))


def _centred(atoms: Float64Array) -> Float64Array:
    """Points (n, 66) of simulated atoms (n, 22, 3)."""
    if not np.isfinite(atoms).all():
        raise DataError("the simulation of alanine dipeptide diverged")
    return np.asarray((atoms - atoms.mean(axis=1, keepdims=True)).reshape(len(atoms), DIM))


def _points(x: ArrayLike) -> Float64Array:
    points = np.asarray(x, np.float64)
    if points.ndim != 2 or points.shape[1] != DIM:
        raise DataError(f"points must have shape (n, {DIM}), nanometres, got {points.shape}")
    if not np.isfinite(points).all():
        raise DataError(f"points are not finite, first in row {int(np.argmin(np.isfinite(points).all(axis=1)))}")
    return points


def decode_chains(files: Files, split: str) -> Arrays:
    """Chains one after another for every solvent; threads, because OpenMM steps without the interpreter's lock."""
    tasks = [(k, chain) for chain in range(_CHAINS) for k in range(len(_DIELECTRICS))]

    def run(task: tuple[int, int]) -> Float64Array:
        seed = np.random.SeedSequence([_SEED, *task])
        return AlanineScore(_DIELECTRICS[task[0]]).sample(_PER_CHAIN, rng=seed)

    with ThreadPoolExecutor(2) as pool:
        points = np.concatenate(list(pool.map(run, tasks)))
    labels, chains = np.repeat(np.array(tasks), _PER_CHAIN, axis=0).T
    return points, labels, chains


def decode(files: Files, split: str) -> Arrays:
    """One chain for every solvent."""
    seeds = np.random.SeedSequence(_SEED).spawn(len(_DIELECTRICS))
    pairs = zip(_DIELECTRICS, seeds, strict=True)
    points = [AlanineScore(dielectric).sample(_PER_SOLVENT, rng=seed) for dielectric, seed in pairs]
    return np.concatenate(points), np.repeat(np.arange(len(points)), _PER_SOLVENT)
