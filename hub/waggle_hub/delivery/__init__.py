"""Delivery: who hears of what, encoded once, written once for each connection and turn of the loop.

``fanout`` takes what the engine releases, ``feed`` is one interest with those who follow it live, ``conflation`` one
whose followers want the latest only. ``refill`` brings those behind up from a snapshot or the log, in the order of
``refillqueue``. ``connection`` is what waits to be sent to one agent, ``encoding`` makes lines, ``text`` frames.
"""
