"""The health process: tells monitoring how the appliance is, over HTTP.

    /healthz   200 while every process is up; else 503, and which is not
    /readyz    200 while a part may come; else 503, and why not
    /metrics   Prometheus

It reads what `appliance status` reads, tally and status files, and touches no other process.
"""

import ipaddress
import json
import logging
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from appliance.box.health_metrics import CONTENT_TYPE, metrics_text
from appliance.box.health_report import HealthReport, liveness, readiness
from appliance.box.health_server import HealthServer, HttpAnswer
from appliance.box.status import appliance_status
from appliance.config import ApplianceConfig
from appliance.errors import ApplianceError
from appliance.stage import Stage

log = logging.getLogger(__name__)

POLL_S = 0.1
_NICE = 10  # whoever asks too often takes time from no verdict and no record
_JSON = "application/json"


def run_health(config: ApplianceConfig, stage: Stage) -> None:
    """Run until the stage is stopped.

    Raises:
        PublishError: The address can't be bound.
    """
    os.nice(_NICE)
    settings = config.health
    with HealthServer(settings.host, settings.port, pages_of(config)) as server:
        server.timeout = POLL_S
        if not ipaddress.ip_address(settings.host).is_loopback:
            log.warning("health: open to other machines on %s, without keys; to be read only", settings.host)
        stage.ready()
        while not stage.is_stopping:
            stage.beat(lambda: _status(server))
            server.handle_request()
            server.hang_up()


def pages_of(config: ApplianceConfig) -> dict[str, Callable[[], HttpAnswer]]:
    """Say what the server serves, by path."""

    def report(judge: Callable[[dict[str, Any]], HealthReport], status: dict[str, Any]) -> HttpAnswer:
        said = judge(status)
        return _json(HTTPStatus.OK if said.is_good else HTTPStatus.SERVICE_UNAVAILABLE, said.content)

    def page(answer: Callable[[dict[str, Any]], HttpAnswer]) -> Callable[[], HttpAnswer]:
        def now() -> HttpAnswer:
            try:
                return answer(appliance_status(config))
            except (ApplianceError, OSError) as error:
                return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(error)})

        return now

    return {
        "/healthz": page(lambda status: report(liveness, status)),
        "/readyz": page(lambda status: report(readiness, status)),
        "/metrics": page(lambda status: HttpAnswer(HTTPStatus.OK, CONTENT_TYPE, metrics_text(status))),
    }


def _json(status: HTTPStatus, content: dict[str, Any]) -> HttpAnswer:
    return HttpAnswer(status, _JSON, json.dumps(content).encode() + b"\n")


def _status(server: HealthServer) -> dict[str, Any]:
    return {"connections": server.connections, "requests": server.requests, "turned_away": server.turned_away}
