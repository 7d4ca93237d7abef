"""STAND-IN for some minutes, until the owner of this folder lands the real one: overwrite it."""
class Indexer:
    def __init__(self,*a): pass
    def take_up(self,a): pass
    async def run(self): pass
