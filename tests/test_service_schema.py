"""Schemathesis asks the service what its document allows and what it does not: never a fault, always as documented."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import Service

LEAST = 2000
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
"""What must hold of every answer. That every request which breaks the document is refused is not among these: unknown
parameters of a query are passed over, as anywhere on the web."""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_every_answer_is_as_the_document_says(tmp_path: Path) -> None:
    with Service(tmp_path / "service", "--campaigns-per-minute", "100000") as service:
        service.start(name="one")
        report = tmp_path / "report.json"
        command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{service.url}/api/v1/openapi.json"]
        options = ["--seed", "1", "--max-examples", "60", "--checks", CHECKS, "--continue-on-failure"]
        options += ["--exclude-path-regex", "/events$"]  # a live stream does not end
        options += ["--request-timeout", "240"]  # who asks for a whole network first waits until it was trained
        options += ["--report", "json", "--report-json-path", str(report), "--output-truncate", "false"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout[-8000:]
        told = json.loads(report.read_text())
        assert told["test_cases"]["generated"] >= LEAST
        assert service.ask("GET", "//healthz").status_code == 200
