"""Three orders, with nothing but Python's standard library."""
import json
import urllib.request

SERVER = "http://127.0.0.1:8021"


def post(path, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.loads(response.read() or "null")


for n in range(1, 4):
    order = {"id": f"from_python_{n}", "payload": {"print": f"from_python_{n} ."}}
    status, stored = post("/queues/orders/messages", order)
    print(status, stored["id"], flush=True)
