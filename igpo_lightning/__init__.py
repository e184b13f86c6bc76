"""IGPO (Inpainting-Guided Policy Optimization, arXiv 2509.10396) for masked diffusion language models."""

__version__ = "0.1.0"
