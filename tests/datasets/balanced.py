"""Dataset whose order contains every class equally often."""

import torch

from tests.components import Glyphs


class BalancedGlyphs(Glyphs):
    """Glyphs that draws as many samples of every class as the largest class has; smaller classes are repeated."""

    def order(self, seed: int, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        classes = [(self.label == label).nonzero().flatten() for label in self.label.unique()]
        largest = max(map(len, classes))
        drawn = []
        for indices in classes:
            count = -(-largest // len(indices))  # rounded up
            rounds = [indices[torch.randperm(len(indices), generator=generator)] for _ in range(count)]
            drawn.append(torch.cat(rounds)[:largest])
        order = torch.cat(drawn)
        return order[torch.randperm(len(order), generator=generator)].tolist()
