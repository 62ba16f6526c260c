"""Three orders are taken, one after the other. A worker that dies with one loses nothing: the order
comes back when its lease is over."""
import json
import urllib.request

SERVER = "http://127.0.0.1:8021"


def post(path, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(SERVER + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.loads(response.read() or "null")  # 204: there was nothing


done = 0
while done < 3:
    answer = post("/queues/orders/receive", {"waitMs": 10_000})
    for delivery in answer["deliveries"] if answer else []:
        print(delivery["payload"]["print"], "attempt", delivery["attempt"], flush=True)
        post(f"/deliveries/{delivery['token']}/ack", {})
        done += 1
