"""A wire that can be cut: forwards TCP from one local port to another.

cut.py LISTEN-PORT TO-PORT. SIGUSR1 cuts it: every connection ends, new ones are refused; SIGUSR2 mends it.
"""

import asyncio
import signal
import sys


class Wire:
    def __init__(self, listen, to):
        self.listen, self.to = listen, to
        self.server = None
        self.writers = set()

    async def pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def connect(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        ends = {writer, far_writer}
        self.writers |= ends
        await asyncio.gather(self.pump(reader, far_writer), self.pump(far_reader, writer))
        self.writers -= ends

    async def mend(self):
        if self.server is None:
            self.server = await asyncio.start_server(self.connect, "127.0.0.1", self.listen)
            print("mended", flush=True)

    async def cut(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in self.writers:
            writer.transport.abort()
        print("cut", flush=True)


async def main():
    wire = Wire(int(sys.argv[1]), int(sys.argv[2]))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: loop.create_task(wire.cut()))
    loop.add_signal_handler(signal.SIGUSR2, lambda: loop.create_task(wire.mend()))
    await wire.mend()
    await asyncio.Event().wait()


asyncio.run(main())
