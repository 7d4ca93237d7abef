"""Signs what this server answers for with the keys of the sender's domain."""

from collections.abc import Callable, Iterable

from posthouse.accounts.interface import Directory
from posthouse.delivery.content.slices import in_slices
from posthouse.message.signing import SigningKey
from posthouse.policy.dkim.canonical import RelaxedBody
from posthouse.policy.dkim.signer import Signer

_KEPT = 1000  # signers; a key costs microseconds to read


class Signing:
    """Keeps a signer for each domain. `clock` gives seconds since 1970."""

    def __init__(self, directory: Directory, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._signers: dict[tuple[SigningKey, ...], Signer] = {}

    async def sign(self, domain: str, head: bytes, body: Iterable[bytes]) -> bytes:
        """DKIM-Signature fields to be put in front of the message; none for a domain that is not ours."""
        keys = self._directory.addresses.signing_keys(domain) if domain else ()
        if not keys:
            return b""
        signer = self._signers.get(keys)
        if signer is None:
            if len(self._signers) >= _KEPT:
                self._signers.clear()
            signer = self._signers[keys] = Signer(keys)
        content = RelaxedBody()
        async for piece in in_slices(body):
            content.feed(piece)
        return signer.sign_hashed(head, content.digest(), int(self._clock()))
