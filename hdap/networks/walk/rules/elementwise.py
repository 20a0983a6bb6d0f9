"""Operations on each element by itself, with broadcasting: what meets goes together."""

from hdap.networks.walk.recorder import Rule, Walk
from hdap.networks.walk.run_records import Operation

_NAMES = """
abs add addcdiv addcmul alias asin asinh atan atan2 atanh bernoulli bitwise_and bitwise_not
bitwise_or bitwise_xor ceil celu clamp clamp_max clamp_min clone contiguous copy cos cosh detach div
dropout elu empty_like eq erf erfc exp exp2 expm1 fill floor floor_divide fmod frac full_like ge
gelu gt hardshrink hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp
lift_fresh log log10 log1p log2 log_sigmoid_forward logical_and logical_not logical_or logical_xor
logit lt masked_fill maximum minimum mish mul nan_to_num native_dropout ne neg ones_like positive
pow prelu rand_like randn_like reciprocal relu relu6 remainder round rrelu_with_noise rsqrt rsub
selu sgn sigmoid sign silu sin sinh softplus softshrink sqrt square sub tan tanh threshold to trunc
type_as where xlogy zero zeros_like _conj _prelu_kernel _to_copy
"""


def elementwise(walk: Walk, operation: Operation) -> None:
    for output in operation.outputs:
        inputs = [x for x in operation.inputs if x.dim() <= output.dim()]
        walk.combine(inputs, output)


RULES: dict[str, Rule] = {name: elementwise for name in _NAMES.split()}
