"""More of the catalogue's faults, in patients whose style is further from a textbook; the form is that of `planted`."""

from __future__ import annotations

STYLES: dict[str, list[tuple[str, ...]]] = {
    "closures": [
        ("sign_all", "g = 2 * (out - y) / y.size", "g = 2 * (y - out) / y.size"),
        ("derivative_missing", "return g * df(saved", "return g + 0 * df(saved"),
        ("derivative_squared", "return 1 / (1 + np.exp(-x))", "return 1 / (1 + np.exp(-x)) ** 2"),
        ("mean_missing", "g = 2 * (out - y) / y.size", "g = 2 * (out - y)"),
    ],
    "scalar_loops": [
        ("tanh_unsquared", "(1 - h[j] ** 2)", "(1 - h[j])"),
        ("sign_all", "do = p - y", "do = y - p"),
        ("factor_two", "self.b1[j] -= lr * dh[j]", "self.b1[j] -= 2 * lr * dh[j]"),
    ],
    "batch_norm": [
        ("bias_averaged", "db = np.sum(dout, axis=0)", "db = np.mean(dout, axis=0)"),
        ("relu_mask_missing", "dn = dh * (n > 0)", "dn = dh"),
        ("relu_mask_inverted", "dn = dh * (n > 0)", "dn = dh * (n < 0)"),
        ("mean_missing", "    dx /= n\n", "    dx /= 1\n"),
    ],
    "convolution": [
        ("relu_mask_inverted", "dout[self.mask] = 0", "dout[~self.mask] = 0"),
        ("mean_missing", "return dx / n", "return dx"),
        ("sign_layer", "self.dW = np.dot(self.x.T, dout)", "self.dW = -np.dot(self.x.T, dout)"),
    ],
    "lstm": [
        ("tanh_unsquared", "dg = dc * i * (1 - g**2)", "dg = dc * i * (1 - g)"),
        ("sign_all", "dy = y - t", "dy = t - y"),
        ("derivative_missing", "di = dc * g * i * (1 - i)", "di = dc * g"),
    ],
    "embeddings": [
        ("sign_layer", "gu = g_pos * v", "gu = -g_pos * v"),
        ("never_updated", "            self.C -= self.lr * dC", "            pass"),
    ],
    "flat_vector": [
        ("sign_all", "D2 = (P - y) / m", "D2 = (y - P) / m"),
        ("mean_missing", "D2 = (P - y) / m", "D2 = P - y"),
        ("mse_delta_with_bce", "D2 = (P - y) / m", "D2 = (P - y) * P * (1 - P) / m"),
        ("derivative_missing", "D1 = (D2 @ W2.T) * A * (1 - A)", "D1 = D2 @ W2.T"),
    ],
    "value_graph": [
        ("tanh_unsquared", "(1 - out.data**2)", "(1 - out.data)"),
        ("bias_averaged", "other.gather(out.grad.sum(0))", "other.gather(out.grad.mean(0))"),
        ("sign_all", "self.gather(2 * (self.data - target)", "self.gather(-2 * (self.data - target)"),
    ],
}
