"""STAND-IN for some minutes, until the owner of this folder lands the real one: overwrite it."""
from typing import NamedTuple
class Shown(NamedTuple):
    envelope: bytes; structure: bytes; preview: str
class SortKeys(NamedTuple):
    sent: int; base_subject: str; is_reply: bool; sort_from: str; sort_to: str; sort_cc: str; show_from: str; show_to: str; message_id: str; references: tuple
class MessageIndex:
    @classmethod
    def open(cls,p,s): return cls()
    async def shown(self,a,items): return [Shown(b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)",b'("text" "plain" NIL NIL NIL "7bit" 1 1 NIL NIL NIL NIL)',"p") for _ in items]
    async def contains(self,a,m,ids,f,n): return set(ids)
    async def sent_days(self,a,m,ids): return dict.fromkeys(ids,0)
    async def sort_keys(self,a,m,ids): return {i:SortKeys(0,"",False,"","","","","","",()) for i in ids}
    async def forget(self,a): pass
    async def close(self): pass
