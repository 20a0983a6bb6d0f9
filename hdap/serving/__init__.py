"""Servers on this machine: the variants of a portfolio over HTTP, and pages for one person."""
