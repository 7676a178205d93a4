"""Reader of Prometheus' text format that refuses what does not follow it."""

import re

_LABELS = r'\{[a-z_]\w*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]\w*="(?:[^"\\\n]|\\[\\"n])*")*\}'
_SAMPLE = re.compile(rf"([a-z_]\w*)({_LABELS})? (\S+)")


def read_metrics(text: str) -> dict[str, float]:
    """Return the values by name and labels; the text must follow the format 0.0.4.

    Each metric has its help, its type, and then its samples, of which those of a histogram grow up to `+Inf`.
    """
    assert text.endswith("\n")
    values: dict[str, float] = {}
    kinds: dict[str, str] = {}
    name, buckets = "", [0.0]
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, buckets = line.split()[2], [0.0]
            assert name not in kinds
            assert name.startswith("serve_")
        elif line.startswith("# TYPE "):
            _, _, typed, kinds[name] = line.split()
            assert typed == name
            assert kinds[name] in ("counter", "gauge", "histogram")
            assert name.endswith("_total") == (kinds[name] == "counter")
        else:
            matched = _SAMPLE.fullmatch(line)
            assert matched, line
            value = values[matched[1] + (matched[2] or "")] = float(matched[3])
            suffixes = ("_bucket", "_sum", "_count") if kinds[name] == "histogram" else ("",)
            assert matched[1].removeprefix(name) in suffixes
            if matched[1].endswith("_bucket"):
                assert value >= buckets[-1]
                buckets.append(value)
            elif matched[1].endswith("_count"):
                assert values[f'{name}_bucket{{le="+Inf"}}'] == value == buckets[-1]
    return values
