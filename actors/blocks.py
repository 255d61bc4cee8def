"""How a block of rows travels from one step of a pipeline to the next: as a single value.

Between two processes Ray takes a table apart, column by column, down to the leaves of each; a group
has 136. That takes several times as long as to write Arrow's own stream of the table and to read it
again, which copies nothing. So steps hand on a table of one row, and their batches are of one row.
"""

from __future__ import annotations

import struct

import pyarrow as pa

_COLUMN = "block"


def packed(table: pa.Table) -> pa.Table:
    """A table as one row."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    data = sink.getvalue()
    offsets = pa.py_buffer(struct.pack("<2q", 0, data.size))
    # Of the buffer itself: by way of `bytes` it would be copied.
    cell = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, data])
    return pa.table({_COLUMN: cell})


def unpacked(block: pa.Table) -> pa.Table:
    """The table that was `packed`; its buffers are those of the block."""
    return pa.ipc.open_stream(block.column(_COLUMN)[0].as_buffer()).read_all()
