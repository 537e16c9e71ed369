"""Sizes and durations in words."""


def size_words(size: int) -> str:
    """Say bytes in binary units: 3.4 MiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004 - what binary units are
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def duration_words(seconds: float, *, whole: bool = False) -> str:
    """Say a duration: 12.4 s, 3m12s, 2h05m; with `whole` 12 s."""
    if seconds < 60:  # noqa: PLR2004
        return f"{seconds:.0f} s" if whole else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"
