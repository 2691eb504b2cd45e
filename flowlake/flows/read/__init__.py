"""Reading flow logs: any object that carries them, as blocks of typed Arrow records and rejects with reasons."""

from flowlake.flows.read.block import Block, NotAFlowLog
from flowlake.flows.read.formats import BadFormat, Format, parse_format
from flowlake.flows.read.objects import read_blocks

__all__ = ["BadFormat", "Block", "Format", "NotAFlowLog", "parse_format", "read_blocks"]
