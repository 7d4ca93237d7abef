"""STAND-IN for some minutes, until the owner of this folder lands the real one: overwrite it."""
from typing import NamedTuple
class ThreadRow(NamedTuple):
    number:int; sent:int; subject:str; is_reply:bool; message_id:str; references:tuple
def thread_references(r): return r
thread_ordered_subject=thread_references
def thread_text(r): return b"".join(b"(%d)"%x.number for x in r)
