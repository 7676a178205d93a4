"""An order in which every class comes up equally often."""

import torch

from tests.rooms import Glyphs


class BalancedGlyphs(Glyphs):
    """Each epoch draws as many samples of every class as the largest has; a smaller one begins anew when used up."""

    def order(self, seed: int, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        places = [(self.label == label).nonzero().flatten() for label in self.label.unique()]
        largest = max(map(len, places))
        drawn = []
        for place in places:
            rounds = [place[torch.randperm(len(place), generator=generator)] for _ in range(-(-largest // len(place)))]
            drawn.append(torch.cat(rounds)[:largest])
        order = torch.cat(drawn)
        return order[torch.randperm(len(order), generator=generator)].tolist()
