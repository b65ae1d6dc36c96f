"""Zero-shot MR contrast translation by score-based diffusion steered with local mutual information.

After Wang et al., "Diffusion based Zero-shot Medical Image-to-Image Translation for Cross Modality Segmentation"
(arXiv 2404.01102). The library needs no 3D Slicer; `python -m LMIDiffusionLib` is its command line.
"""

__version__ = "0.1.0"
