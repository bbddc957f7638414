"""Adam on softmax cross-entropy, deterministic for a seed."""

import numpy as np

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-4
BETA_MEAN, BETA_SQUARE, EPSILON = 0.9, 0.999, 1e-8


def cross_entropy_gradient(logits, labels):
    """Gradient of the mean cross-entropy with respect to `logits`."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = exponentials / exponentials.sum(axis=1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1
    return (gradient / len(labels)).astype(np.float32)


def train(network, samples, labels, epochs, seed, loss_gradient=cross_entropy_gradient):
    """Trains in place. `loss_gradient(outputs, labels)` gives the gradient of the outputs."""
    rng = np.random.default_rng(seed)
    means = [np.zeros_like(p) for p in network.params]
    squares = [np.zeros_like(p) for p in network.params]
    step = 0
    for epoch in range(epochs):
        # The rate falls to a tenth, so that the last epochs settle.
        rate = LEARNING_RATE * 0.1 ** (epoch / epochs)
        order = rng.permutation(len(samples))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            outputs = network.forward(samples[chosen])
            network.backward(loss_gradient(outputs, labels[chosen]))
            step += 1
            for p, g, m, s in zip(network.params, network.grads, means, squares):
                m += (1 - BETA_MEAN) * (g - m)
                s += (1 - BETA_SQUARE) * (g * g - s)
                mean = m / (1 - BETA_MEAN**step)
                square = s / (1 - BETA_SQUARE**step)
                p -= rate * (mean / (np.sqrt(square) + EPSILON) + WEIGHT_DECAY * p)
