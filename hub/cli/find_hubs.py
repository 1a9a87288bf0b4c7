"""All hubs of a cluster, for commands that go on through another when one is lost."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hub.cli.client import Caller, Door, local_hubs
from shared.errors import RpcError


async def all_hubs(doors: Sequence[Door], data: Path, say: Callable[[str], None]) -> list[Door]:
    """These hubs and those that the first of them knows. A token found on disk goes only to the hub
    that wrote it. Raises Unreachable or Refused when none answers."""
    found = list(doors)
    caller = Caller(found, say)
    try:
        hubs = (await caller.call("hub.list"))["items"]
    except RpcError as error:
        say(f"the other hubs are not known: {error}")
        return found
    finally:
        await caller.close()
    on_disk = {door.token for door in local_hubs(data)}
    given = next((door.token for door in doors if door.token not in on_disk), None)
    known = {door.url for door in doors}
    if given is None:
        return found
    urls = {str(hub["url"]): str(hub["hub_id"]) for hub in hubs if hub.get("url")}
    return found + [Door(name, url, given) for url, name in urls.items() if url not in known]
