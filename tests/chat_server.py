"""A real HTTP server on this machine that speaks /v1/chat/completions."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-very-secret-0123456789"


def completion(text, **choice):
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message} | choice],
    }


def echo(body):
    return 200, completion(f"reply to {body['messages'][-1]['content']}")


class Server:
    """Answers with `self.answer(body) -> (status, data)`, and remembers what it was asked."""

    def __init__(self):
        self.answer, self.delay, self.headers = echo, 0.0, {}
        self.requests, self.keys = [], []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with owner.lock:
                    owner.requests.append(body)
                    owner.keys.append(self.headers["Authorization"])
                    owner.in_flight += 1
                    owner.most_in_flight = max(owner.most_in_flight, owner.in_flight)
                time.sleep(owner.delay)
                status, data = owner.answer(body)
                with owner.lock:
                    owner.in_flight -= 1
                self.reply(status, data)

            def do_GET(self):
                self.reply(200, {"object": "list", "data": [{"id": "modal-7b", "object": "model", "created": 1}]})

            def reply(self, status, data):
                raw = data if isinstance(data, bytes) else json.dumps(data).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(raw)))
                    for name, value in owner.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(raw)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up, as a test of timeouts wants it

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
