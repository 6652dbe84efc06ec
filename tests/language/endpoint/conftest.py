"""The server of every test of endpoints."""

import pytest
from chat_server import Server


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()
