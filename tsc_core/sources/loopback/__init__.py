"""An ALeRCE and a cross-match service on this machine, over an archive of packets: for tests and for work offline."""

from tsc_core.sources.loopback.faults import Fault, Faults
from tsc_core.sources.loopback.server import LoopbackServer, Request

__all__ = ["Fault", "Faults", "LoopbackServer", "Request"]
