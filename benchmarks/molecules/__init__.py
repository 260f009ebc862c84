"""Alanine dipeptide in solvents, and the compositions of QM9."""
