"""What the limited children of an import may take."""

from appliance.limited import Limits

_MIB = 1 << 20


def limits_for(size_bytes: int) -> Limits:
    """Give a child what a file of this size honestly needs: several copies of its weights, and minutes."""
    size_mb = size_bytes // _MIB + 1
    return Limits(memory_mb=3072 + 10 * size_mb, cpu_s=600, wall_s=300.0, reply_mb=512 + 2 * size_mb)
