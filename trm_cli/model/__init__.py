"""The network: recursion, blocks, embedding and heads."""
