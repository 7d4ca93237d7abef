"""Fuzz the record and the policy of MTA-STS: an answer or a documented error, and answers within their bounds."""

if __name__ == "__main__":
    import atheris

    with atheris.instrument_imports(include=["posthouse.policy.mtasts"]):
        import posthouse.policy.mtasts  # noqa: F401

from posthouse.policy.mtasts import MAX_AGE, Mode, PolicyError, parse, policy_id
from tests.fuzz import engines


def fuzz(data: bytes) -> None:
    """The first octet says what the rest is: a policy, or records with NUL between them."""
    if data[:1] >= b"\x02":
        found = policy_id(data[1:].split(b"\0"))
        assert len(found) <= 32 and (not found or (found.isascii() and found.isalnum()))
        return
    try:
        policy = parse(data[1:])
    except PolicyError:
        return
    assert 0 <= policy.max_age <= MAX_AGE
    assert policy.hosts or policy.mode is Mode.NONE
    for pattern in policy.hosts:
        assert pattern == pattern.lower() and "*" not in pattern[1:]
        assert policy.allows(pattern.replace("*", "mx"))
        assert not policy.allows("other." + pattern.replace("*", "mx")) or len(policy.hosts) > 1


if __name__ == "__main__":
    engines.run(fuzz, "none")
