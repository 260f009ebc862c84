r"""Internal coordinates of alanine dipeptide: a chart in which the KL barycenter stays exact.

The 66 Cartesian coordinates of an isolated molecule carry six of translation and rotation, over which its law is
uniform and improper. What is left are 60 numbers q: 21 bonds, 20 angles, 19 torsions, all 22 atoms included. Their
law is ``p_i(q) ~ exp(-U_i(q) / kT) J(q)`` with a Jacobian J that no solvent changes, so

    prod_i p_i(q)^w_i ~ exp(-sum_i w_i U_i(q) / kT) J(q):

the barycenter of the laws of q is the law of q in the barycenter. (With atoms left out this would be false.)

Angles are made real numbers by cuts: phi keeps to ``(-pi, 0)``, the region all laws here are conditioned on; psi is cut
at -120 degrees and the peptide bonds at 0, where hardly any mass is. The three hydrogens of a methyl group are alike:
they are renumbered cyclically (which keeps their handedness) so that the first lies within 60 degrees of the
rotor's centre, an exact reduction by symmetry.
"""

from typing import final

import numpy as np

from sfbench._internal.aliases import Float64Array

N_ATOMS, DIM = 22, 60
# Atom, and those to which its bond, its angle and its torsion refer; the first three span the frame.
_FRAME = (8, 6, 14)
_ROWS = np.array(
    [
        *((4, 6, 8, 14), (16, 14, 8, 6), (15, 14, 8, 16), (10, 8, 6, 14), (9, 8, 6, 14), (7, 6, 8, 4)),
        *((1, 4, 6, 8), (5, 4, 6, 1), (18, 16, 14, 8), (17, 16, 14, 18)),
        *((11, 10, 8, 6), (12, 10, 8, 11), (13, 10, 8, 11)),
        *((0, 1, 4, 6), (2, 1, 4, 0), (3, 1, 4, 0)),
        *((19, 18, 16, 14), (20, 18, 16, 19), (21, 18, 16, 19)),
    ]
)
_METHYLS = ((11, 12, 13), (0, 2, 3), (19, 20, 21))
_DEGREE = np.pi / 180
# Where torsions are centred; the cut is half a turn away. Rows in the order above.
_CENTRES = _DEGREE * np.array(
    [
        *(-90.0, 60.0, 180.0, -120.0, 120.0, 180.0, 180.0, 180.0, 180.0, 180.0),
        *(60.0, 120.0, -120.0, 60.0, 120.0, -120.0, 0.0, 120.0, -120.0),
    ]
)
PHI, PSI = 3, 6  # their places in q


@final
class Chart:
    """The chart; see the module.

    Parameters
    ----------
    centres : array (19,)
        Where each torsion is centred, radians.
    """

    def __init__(self, centres: Float64Array = _CENTRES) -> None:
        self.centres = np.asarray(centres, np.float64)

    def internal(self, x: Float64Array) -> Float64Array:
        """Internal coordinates (n, 60) of points x (n, 66): nm and radians."""
        atoms = self._numbered(x.reshape(-1, N_ATOMS, 3))
        a, b, c = (atoms[:, i] for i in _FRAME)
        q = np.empty((len(atoms), DIM))
        q[:, 0], q[:, 1] = _length(b - a), _length(c - a)
        q[:, 2] = _angle(b - a, c - a)
        for row, (i, j, k, m) in enumerate(_ROWS):
            at = 3 + 3 * row
            q[:, at + 1] = _length(atoms[:, i] - atoms[:, j])
            q[:, at + 2] = _angle(atoms[:, i] - atoms[:, j], atoms[:, k] - atoms[:, j])
            turn = _torsion(*(atoms[:, v] for v in (i, j, k, m)))
            q[:, at] = self.centres[row] + _wrapped(turn - self.centres[row])
        return q

    def cartesian(self, q: Float64Array) -> Float64Array:
        """Centred points (n, 66) with internal coordinates q (n, 60)."""
        atoms = np.zeros((len(q), N_ATOMS, 3))
        _, b, c = _FRAME  # the first is at the origin
        atoms[:, b, 0] = q[:, 0]
        atoms[:, c, 0], atoms[:, c, 1] = q[:, 1] * np.cos(q[:, 2]), q[:, 1] * np.sin(q[:, 2])
        for row, (i, j, k, m) in enumerate(_ROWS):
            turn, bond, angle = q[:, 3 + 3 * row : 6 + 3 * row].T
            axis = _unit(atoms[:, j] - atoms[:, k])
            normal = _unit(np.cross(atoms[:, k] - atoms[:, m], axis))
            side = np.cross(normal, axis)
            along = -np.cos(angle)[:, None] * axis
            across = np.sin(angle)[:, None] * (np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * normal)
            atoms[:, i] = atoms[:, j] + bond[:, None] * (along + across)
        return np.asarray((atoms - atoms.mean(axis=1, keepdims=True)).reshape(len(q), -1))

    def _numbered(self, atoms: Float64Array) -> Float64Array:
        """With the hydrogens of every methyl group renumbered so that the first lies nearest to its centre."""
        atoms = atoms.copy()
        firsts = {int(row[0]): at for at, row in enumerate(_ROWS)}
        for group in _METHYLS:
            at = firsts[group[0]]
            rest = _ROWS[at][1:]
            turns = np.stack([_torsion(*(atoms[:, v] for v in (i, *rest))) for i in group], axis=1)
            first = np.abs(_wrapped(turns - self.centres[at])).argmin(axis=1)
            order = (first[:, None] + np.arange(3)) % 3
            atoms[:, group] = np.take_along_axis(atoms[:, group], order[:, :, None], axis=1)
        return atoms


def _wrapped(angle: Float64Array) -> Float64Array:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _length(v: Float64Array) -> Float64Array:
    return np.asarray(np.linalg.norm(v, axis=-1))


def _unit(v: Float64Array) -> Float64Array:
    return np.asarray(v / np.maximum(_length(v), 1e-12)[..., None])


def _angle(u: Float64Array, v: Float64Array) -> Float64Array:
    return np.asarray(np.arctan2(_length(np.cross(u, v)), (u * v).sum(axis=-1)))


def _torsion(a: Float64Array, b: Float64Array, c: Float64Array, d: Float64Array) -> Float64Array:
    first, axis, last = b - a, c - b, d - c
    left, right = np.cross(first, axis), np.cross(axis, last)
    sine = (np.cross(left, right) * axis).sum(axis=-1) / np.maximum(_length(axis), 1e-12)
    return np.asarray(np.arctan2(sine, (left * right).sum(axis=-1)))
