"""STAND-IN for some minutes, until the owner of this folder lands the real one: overwrite it."""
from dataclasses import dataclass, field
class UnknownEncodingError(ValueError): pass
@dataclass
class Part:
    header:int; body:int; end:int; type:bytes=b"text"; parts:list=field(default_factory=list)
def scan(d):
    i=d.find(b"\r\n\r\n"); i=len(d) if i<0 else i+4
    return Part(0,i,len(d))
def body(d,p): return b'("text" "plain" NIL NIL NIL "7bit" 1 1)'
def decoded(d,p): return d[p.body:p.end]
def header_octets(d,p): return p.header,p.body
def section(r,n): return r if list(n)==[1] else None
def select_fields(h,names,ex): return h
