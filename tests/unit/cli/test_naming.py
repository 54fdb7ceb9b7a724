"""A wrapped server is called by what it is, not by what starts it."""

import pytest

from toolreeve.cli.naming import server_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("npx -y @modelcontextprotocol/server-filesystem /tmp", "server-filesystem"),
        ("npx -y @scope/files@1.2.3", "files"),
        ("uvx mcp-server-git --repository /srv", "mcp-server-git"),
        ("/usr/bin/python3.11 -m weather.server --stdio", "weather.server"),
        ("node build/index.js", "index"),
        ("docker run -i --rm mcp/time:latest", "time-latest"),
        ("/opt/bin/my-server", "my-server"),
        ("python3", "python3"),
        ("-x", "server"),
        ("/srv/...", "server"),
    ],
)
def test_a_command_gives_a_name(command: str, name: str) -> None:
    assert server_name(command.split()) == name
