"""Reading flow logs: any object that carries them, as blocks of typed Arrow records and rejects with reasons."""

from flowlake.flows.read.block import Block, LogGroup, NotAFlowLog
from flowlake.flows.read.formats import BadFormat, Format, parse_format
from flowlake.flows.read.objects import read_blocks, read_events

__all__ = ["BadFormat", "Block", "Format", "LogGroup", "NotAFlowLog", "parse_format", "read_blocks", "read_events"]
