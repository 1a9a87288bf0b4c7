"""The table of all paths that serve people: pages, their JSON twins, forms, files and the stream."""

from functools import partial

from hub.web.check_orders import CheckOrders
from hub.web.clock_pages import CLOCK_PAGES
from hub.web.conf_pages import CONF_PAGES
from hub.web.context import RpcCall, WebContext
from hub.web.desk import Desk, environment
from hub.web.event_pages import EVENT_PAGES
from hub.web.fleet_pages import FLEET_PAGES
from hub.web.history_pages import HISTORY_PAGES
from hub.web.hub_pages import HUB_PAGES
from hub.web.log_pages import LOG_PAGES
from hub.web.login import Login
from hub.web.matrix_pages import MATRIX_PAGES
from hub.web.metric_pages import METRIC_PAGES
from hub.web.orders import Orders
from hub.web.page import Page
from hub.web.roll_orders import RollOrders
from hub.web.roll_pages import ROLL_PAGES
from hub.web.routes import RouteSpec
from hub.web.static_files import static_routes
from hub.web.stream import Streams
from hub.web.tail_page import TAIL
from hub.web.trace_pages import TRACE_PAGES
from hub.web.uptime_pages import UPTIME_PAGES
from hub.web.view_pages import VIEW_PAGES
from hub.web.vm_bulk_orders import VmBulkOrders
from hub.web.vm_orders import VmOrders
from hub.web.vm_pages import VM_PAGES

PAGES: tuple[Page, ...] = (
    *UPTIME_PAGES,  # Before the pages of a node, whose path would fit.
    *ROLL_PAGES,
    *HISTORY_PAGES,
    *FLEET_PAGES,
    *HUB_PAGES,
    *MATRIX_PAGES,
    *CLOCK_PAGES,
    *VIEW_PAGES,
    *CONF_PAGES,
    *VM_PAGES,
    *LOG_PAGES,
    *EVENT_PAGES,
    TAIL,
    *METRIC_PAGES,
    *TRACE_PAGES,
)


def page_routes(call: RpcCall, context: WebContext) -> list[RouteSpec]:
    """Every path of the web face with who may use it. Twins stand before the pages whose path, with
    its open end, would fit them too."""
    desk = Desk(call, context, environment())
    login, orders, streams = Login(desk), Orders(desk), Streams(context)
    return [
        RouteSpec("/login", ("GET", "POST"), "open", login.endpoint),
        RouteSpec("/logout", ("POST",), "admin", login.leave),
        RouteSpec("/stream", ("GET",), "admin", streams.endpoint),
        *static_routes(),
        *(RouteSpec(page.twin, ("GET",), "admin", partial(desk.twin, page)) for page in PAGES),
        *(RouteSpec(page.path, ("GET",), "admin", partial(desk.page, page)) for page in PAGES),
        *VmOrders(desk).routes(),
        *VmBulkOrders(desk).routes(),
        RouteSpec("/nodes/{node}/drain", ("POST",), "admin", orders.drain),
        *RollOrders(desk).routes(),
        *CheckOrders(desk).routes(),
    ]
