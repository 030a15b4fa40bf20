"""Stock aiosmtpd that stores each message as a file: written, then renamed. Usage: stock.py DIR PORT."""

import asyncio
import os
import resource
import sys
import uuid

from aiosmtpd.smtp import SMTP, Envelope, Session

DIRECTORY, PORT = sys.argv[1], int(sys.argv[2])


class Handler:
    """Stores."""

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Write under another name, rename, answer."""
        path = f"{DIRECTORY}/{uuid.uuid4().hex}"
        with open(f"{path}.tmp", "wb") as file:  # noqa: ASYNC230 - memory, not a disk
            file.write(envelope.content or b"")
        os.rename(f"{path}.tmp", path)
        return "250 OK"


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Handler(), hostname="mx", loop=loop, timeout=3600), "127.0.0.1", PORT, backlog=4096
    )
    await server.serve_forever()


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
asyncio.run(main())
