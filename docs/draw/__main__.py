"""`python -m docs.draw`."""

import asyncio

from . import draw

asyncio.run(draw())
