"""What every method needs of a network: other backward rules, CAM layers, checks of networks, photos and logits."""
