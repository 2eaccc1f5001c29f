"""A small vision transformer for scenes: three convolutions make 8 x 8 tokens, six blocks let them read one another.

The tokens are an 8 x 8 grid over the picture, each a vector of 96 numbers for 8 x 8 pixels and their surroundings: with
kernels of even size, 22 pixels around the middle of its cell. A class token goes with them from the first block to the
last, and the head reads that one alone: whatever the network knows of the picture was gathered there by attention. So
no layer with positions lies before the logits, and there is no place for a CAM.

References:
    Vaswani et al. Attention Is All You Need. NeurIPS 2017. arXiv:1706.03762, eq. 1.
    Dosovitskiy et al. An Image Is Worth 16x16 Words. ICLR 2021. arXiv:2010.11929, eq. 1-4.
    Xiao et al. Early Convolutions Help Transformers See Better. NeurIPS 2021. arXiv:2106.14881 (in place of patches).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.scenes.pictures import CLASSES, SIZE

WIDTH = 96
BLOCKS = 6
HEADS_PER_BLOCK = 4
GRID = SIZE // 8  # three halvings


class Attention(nn.Module):
    """Each token reads all tokens: in each head A = softmax(Q Kᵀ / √d), and the output is A V (Vaswani, eq. 1)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, T, width) for tokens (N, T, width)."""
        q, k, v = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (N, heads, T, d)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention among tokens, then two linear layers on each token by itself; both are added to what was there."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, T, width) for tokens (N, T, width)."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class ScenesTransformer(nn.Module):
    """An untrained vision transformer, pictures (N, 1, 64, 64) -> logits (N, 10)."""

    def __init__(self, width: int = WIDTH, blocks: int = BLOCKS, heads: int = HEADS_PER_BLOCK) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *(nn.Conv2d(1, width // 4, 4, stride=2, padding=1), nn.ReLU()),
            *(nn.Conv2d(width // 4, width // 2, 4, stride=2, padding=1), nn.ReLU()),
            nn.Conv2d(width // 2, width, 4, stride=2, padding=1),
        )
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.empty(1, 1 + GRID * GRID, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return logits (N, 10) for pictures (N, 1, 64, 64)."""
        grid = self.stem(pictures).flatten(2).transpose(1, 2)  # (N, 64, width), row by row
        tokens = torch.cat([self.class_token.expand(len(grid), -1, -1), grid], dim=1) + self.position
        return self.head(self.norm(self.blocks(tokens))[:, 0])
