"""Simulated ZTF objects: physics in, alert packets out."""
